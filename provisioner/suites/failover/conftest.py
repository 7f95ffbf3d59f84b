"""Each scenario is played once, by the fixture ``outcome``; every test judges one expectation of it.

A test says with ``@proves(name)`` which expectation it judges. It runs for every scenario that states it for this
lab, with the scenario's own words as its sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from provisioner import state
from provisioner.chaos import catalogue
from provisioner.chaos.experiment import Experiment
from provisioner.chaos.outcome import Outcome, to_json
from provisioner.chaos.scenario import Scenario
from provisioner.chaos.timeline import Event
from provisioner.lab import LabSpec
from provisioner.machines import select
from provisioner.progress import Progress
from provisioner.state import LabFolder, Record
from provisioner.suites.stream import Stream

PROVES = "proves"

_planned = pytest.StashKey[tuple[LabSpec, list[Scenario]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--scenario", metavar="NAME", help="the one scenario to play; all that the lab can, where absent")
    parser.addoption("--count", type=int, help="how many managers kill-managers takes")
    parser.addoption("--direction", help="which way partition-leader cuts the leader off")
    parser.addoption("--seconds", type=float, help="for how long freeze-leader freezes the leader")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{PROVES}(name): which expectation of a scenario the test judges")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker(PROVES)
    if marker is None:
        return
    spec, scenarios = _plan(metafunc.config)
    cases = [
        pytest.param(scenario, expectation, id=re.sub(" --[a-z]+ ", "-", str(scenario)))
        for scenario in scenarios
        for expectation in scenario.expectations(spec)
        if expectation.name == marker.args[0]
    ]
    metafunc.parametrize(("scenario", "expectation"), cases or [(None, None)], scope="module")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests whose expectation no scenario states, and keep those of one scenario together.

    pytest's own order goes by a parameter's place in each test's list, which differs from test to test here: it would
    play a scenario again for a test that comes late.
    """
    places = {id(scenario): place for place, scenario in enumerate(_plan(config)[1])}
    ours = [item for item in items if item.get_closest_marker(PROVES)]
    played = [item for item in ours if id(_scenario_of(item)) in places]
    played.sort(key=lambda item: places[id(_scenario_of(item))])
    config.hook.pytest_deselected(items=[item for item in ours if item not in played])
    items[:] = [item for item in items if item not in ours] + played


def _plan(config: pytest.Config) -> tuple[LabSpec, list[Scenario]]:
    """The lab and what is played on it: the same objects at every call, as pytest tells parameters by identity."""
    if _planned not in config.stash:
        spec = state.load(state.folder(config.getoption("--lab"))).spec
        name = config.getoption("--scenario")
        options = {option: config.getoption(f"--{option}") for option in ("count", "direction", "seconds")}
        config.stash[_planned] = spec, [catalogue.named(name, **options)] if name else catalogue.all_for(spec)
    return config.stash[_planned]


def _scenario_of(item: pytest.Item) -> object:
    return item.callspec.params["scenario"] if isinstance(item, pytest.Function) else None


@pytest.fixture(scope="module")
def outcome(
    request: pytest.FixtureRequest, scenario: Scenario, lab: LabFolder, record: Record, events: Stream
) -> Iterator[Outcome]:
    """What the scenario showed. The lab is restored when the last of its tests has ended, or whatever else happens."""
    if request.config.getoption("--scenario") is None:  # else whoever asked for it has announced it
        events.note(f"{scenario}: {scenario.purpose(record.spec)}")
    history = lab.new_log(f"chaos-{scenario.name}").with_suffix(".history.jsonl")
    experiment = Experiment(
        record.spec,
        select.provider(lab, record),
        history=history,
        progress=StreamProgress(events),
        heard=lambda event: _tell(events, event),
    )
    with experiment:
        outcome = scenario.play(experiment)
        events.data(str(scenario), to_json(outcome))
        yield outcome


def _tell(events: Stream, event: Event) -> None:
    events.note(f"{event.seconds:8.1f} s  {event.name}: {event.words}")


class StreamProgress(Progress):
    """What hosts do, told to `provision`, which has the terminal."""

    def __init__(self, events: Stream) -> None:
        super().__init__(quiet=True)
        self._events = events

    def host(self, name: str, doing: str) -> None:
        super().host(name, doing)
        self._events.doing(f"{name} {doing}".strip())
