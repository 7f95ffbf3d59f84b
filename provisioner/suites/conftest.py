"""The fixtures that every suite shares.

A check that takes ``host`` runs once per host, ``each_manager`` once per manager, ``source`` and ``target`` once per
ordered pair of different hosts. ``manager`` is the first manager; ``hosts`` are all, by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from testinfra.host import Host

from provisioner import state
from provisioner.lab import HostSpec, LabSpec
from provisioner.machines import ssh
from provisioner.state import LabFolder, Record
from provisioner.suites import capabilities, stream
from provisioner.suites.connection import connect
from provisioner.suites.stream import Stream
from provisioner.suites.waiting import be_patient
from provisioner.suites.workspace import Workspace

_record = pytest.StashKey[Record]()
_reasons = pytest.StashKey[dict[str, str]]()
_hosts = pytest.StashKey[dict[str, Host]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--lab", required=True, help="the lab whose hosts are checked")


def pytest_configure(config: pytest.Config) -> None:
    record = config.stash[_record] = state.load(state.folder(config.getoption("--lab")))
    be_patient(record.spec.patience)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    spec = metafunc.config.stash[_record].spec
    names = [host.name for host in spec.hosts]
    wanted = metafunc.fixturenames
    if "host_name" in wanted:
        metafunc.parametrize("host_name", names)
    if "manager_name" in wanted:
        metafunc.parametrize("manager_name", [host.name for host in spec.managers])
    if "source" in wanted and "target" in wanted:
        pairs = [(one, other) for one in names for other in names if one != other]
        alone = pytest.param(names[0], "another host", marks=pytest.mark.skip("one host"))
        metafunc.parametrize(("source", "target"), pairs or [alone])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what the engine or the hosts' kernel cannot do, with the reason."""
    record = item.config.stash[_record]
    for marker in item.iter_markers("needs"):
        capability, engine = marker.args[0], marker.kwargs.get("engine")
        if engine is not None and engine != record.spec.engine:
            continue
        if reason := capabilities.not_yet(record.spec.engine, capability):
            pytest.skip(reason)
        if reason := _lacking(item.config, capability):
            stream.not_possible(item, reason)


def _lacking(config: pytest.Config, capability: str) -> str:
    known = config.stash.setdefault(_reasons, {})
    if capability not in known:
        known[capability] = capabilities.lacking(capability, _connections(config))
    return known[capability]


def _connections(config: pytest.Config) -> dict[str, Host]:
    spec, lab = config.stash[_record].spec, state.folder(config.getoption("--lab"))
    return config.stash.setdefault(_hosts, {host.name: connect(lab, host) for host in spec.hosts})


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> LabFolder:
    """The lab's folder: its ssh_config, its logs."""
    return state.folder(request.config.getoption("--lab"))


@pytest.fixture(scope="session")
def record(request: pytest.FixtureRequest) -> Record:
    return request.config.stash[_record]


@pytest.fixture(scope="session")
def spec(record: Record) -> LabSpec:
    """The lab as it was asked for."""
    return record.spec


@pytest.fixture(scope="session")
def hosts(request: pytest.FixtureRequest, lab: LabFolder) -> Iterator[Mapping[str, Host]]:
    """Every host of the lab, by name, in the spec's order."""
    connections = _connections(request.config)
    yield connections
    ssh.hang_up(lab, list(connections))


@pytest.fixture(scope="session")
def managers(hosts: Mapping[str, Host], spec: LabSpec) -> Mapping[str, Host]:
    return {host.name: hosts[host.name] for host in spec.managers}


@pytest.fixture(scope="session")
def manager(managers: Mapping[str, Host]) -> Host:
    """The first manager: commands that any manager takes are given to it."""
    return next(iter(managers.values()))


@pytest.fixture
def host(host_name: str, hosts: Mapping[str, Host]) -> Host:
    return hosts[host_name]


@pytest.fixture
def host_spec(host_name: str, spec: LabSpec) -> HostSpec:
    return spec.host(host_name)


@pytest.fixture
def each_manager(manager_name: str, hosts: Mapping[str, Host]) -> Host:
    return hosts[manager_name]


@pytest.fixture(scope="session")
def workspace(hosts: Mapping[str, Host], manager: Host) -> Iterator[Workspace]:
    """For what a suite makes on the lab: all of it is gone when the run ends, however it ends."""
    made = Workspace(hosts, manager)
    made.sweep()
    yield made
    made.sweep()


@pytest.fixture(scope="session")
def events(request: pytest.FixtureRequest) -> Stream:
    """Tells `provision` what a long check does: ``doing`` (live), ``note`` (stays), ``data`` (into the report)."""
    return stream.stream_of(request.config)
