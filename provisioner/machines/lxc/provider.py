"""The lxc provider: from an empty folder to hosts that ssh reaches, and back to nothing."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

from provisioner.errors import ProvisionError, UsageError
from provisioner.lab import DEFAULT_BASE, HostSpec
from provisioner.machines import Machine, MachineState, sockets, ssh
from provisioner.machines.lxc import base as base_image
from provisioner.machines.lxc import converged, wait
from provisioner.machines.lxc.container import Container, Plug
from provisioner.machines.lxc.network import LabNetwork, overlapping
from provisioner.machines.lxc.storage import LabStorage
from provisioner.machines.namespaces.cgroup import LabCgroup
from provisioner.machines.namespaces.keeper import Keeper
from provisioner.progress import Progress
from provisioner.state import LabFolder, Record, write_atomically

BUILDER_ADDRESS = 9  # just below the hosts, which begin at .10


class LxcProvider:
    def __init__(self, lab: LabFolder, record: Record) -> None:
        self.lab = lab
        self.spec = record.spec
        self.base = record.spec.base or DEFAULT_BASE
        self.cgroup = LabCgroup(record.mark)
        self.keeper = Keeper(lab, self.cgroup)
        self.network = LabNetwork(lab, record.spec, self.keeper)
        self.storage = LabStorage(lab, self.keeper)

    def preflight(self) -> list[str]:
        sockets.require_short(machine.docker_socket for machine in self.machines())
        return [
            f"{self.spec.network} overlaps {network}, to which this machine has a route: that is fine, "
            "the lab's addresses are in network namespaces of its own"
            for network in overlapping(self.spec.network)
        ]

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        self.cgroup.kill("work")
        with self.cgroup.joined("work"):
            yield

    # -- images ---------------------------------------------------------------------------------------------------

    def prepare(self, progress: Progress, *, converged_by: str, converge: Callable[[HostSpec], None] | None) -> bool:
        base_image.build(self.base, progress, log=self.lab.new_log("base"))
        self._open(progress)
        if converge is None:
            return False
        image = converged.key(self.base, converged_by)
        if self._layers_of_existing_hosts() or converged.layer(image).is_dir():
            self._remember_layers(image)
            return True
        builder = HostSpec(
            name=converged.BUILDER, role="worker", address=self.spec.network.network_address + BUILDER_ADDRESS
        )
        container = self._container(converged.BUILDER)

        def start() -> None:
            self._give_identity([builder])
            container.configure(self._plug(builder, self.lab.path / "builder" / "docker"))
            container.start()
            if failures := wait.for_ssh(self.lab, [container], progress):
                raise ProvisionError(failures[builder.name], log=container.console)

        converged.build(
            image, self.base, container, self.lab, self.keeper,
            start=start, converge=lambda: converge(builder), progress=progress,
        )  # fmt: skip
        self.network.unplug(converged.BUILDER)
        self._remember_layers(image)
        return True

    def _remember_layers(self, image: str) -> None:
        """Fix the image of the lab's hosts for their life: a host's root is only right over the layers it began on."""
        if not self._layers_of_existing_hosts():
            layers = [converged.layer(image), base_image.root(self.base)]
            write_atomically(self.lab.path / "layers", "".join(f"{layer}\n" for layer in layers))

    def _layers_of_existing_hosts(self) -> list[Path]:
        try:
            return [Path(line) for line in (self.lab.path / "layers").read_text().splitlines()]
        except FileNotFoundError:
            return []

    # -- hosts ----------------------------------------------------------------------------------------------------

    def create(self, progress: Progress) -> dict[str, str]:
        if not self._layers_of_existing_hosts():
            layers = [base_image.root(self.base)]
            write_atomically(self.lab.path / "layers", f"{layers[0]}\n")
        return self.start([host.name for host in self.spec.hosts], progress)

    def start(self, names: Sequence[str], progress: Progress) -> dict[str, str]:
        self._open(progress)
        hosts = [self.spec.host(name) for name in names]
        layers = self._layers_of_existing_hosts()
        for layer in layers:
            if not layer.is_dir():
                raise ProvisionError(
                    f"the image of lab {self.lab.name!r} is gone: {layer}",
                    hint=f"its hosts cannot start without it; make the lab anew: "
                    f"provision down --name {self.lab.name} && provision up --name {self.lab.name}",
                )
        self.thaw(names)  # what a killed `provision chaos` left frozen
        down = [host for host in hosts if not self._container(host.name).is_running()]
        if not down:
            return {}
        with progress.stage(f"Starting {_hosts(down)}"), ThreadPoolExecutor(8) as pool:

            def mount(host: HostSpec) -> None:
                progress.host(host.name, "mounting its root")
                self.storage.mount_host(host.name, layers)

            list(pool.map(mount, down))
            self._give_identity(down)

            def boot(host: HostSpec) -> str:
                progress.host(host.name, "booting")
                container = self._container(host.name)
                self.network.unplug(host.name)
                try:
                    container.configure(self._plug(host, self.storage.docker_data(host.name)))
                    container.start()
                except ProvisionError as error:
                    return error.message
                return ""

            failures = {host.name: why for host, why in zip(down, pool.map(boot, down), strict=True) if why}
            booted = [self._container(host.name) for host in down if host.name not in failures]
            return failures | wait.for_ssh(self.lab, booted, progress)

    def converging(self) -> AbstractContextManager[Mapping[str, object]]:
        return contextlib.nullcontext({})  # packages are in the base image

    def machines(self) -> list[Machine]:
        return [
            Machine(host, self._state(host.name), self._container(host.name).shared / "docker.sock")
            for host in self.spec.hosts
        ]

    def stop(self, names: Sequence[str], progress: Progress) -> None:
        with progress.stage(f"Shutting down {_hosts([self.spec.host(name) for name in names])}"):
            ssh.hang_up(self.lab, names)
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda name: self._container(name).shut_down(), names))

    def suspend(self, names: Sequence[str], progress: Progress) -> None:  # noqa: ARG002
        raise UsageError(
            "hosts of the lxc provider cannot be suspended",
            hint=f"they boot in seconds: provision stop --name {self.lab.name}; provision start --name {self.lab.name}",
        )

    def power_off(self, names: Sequence[str]) -> None:
        running = [name for name in names if self._container(name).is_running()]
        for name in running:
            self.network.cut(name)
        for name in running:
            self._container(name).kill()
        ssh.hang_up(self.lab, running)

    def freeze(self, names: Sequence[str]) -> None:
        for name in names:
            self._container(name).freeze()

    def thaw(self, names: Sequence[str]) -> None:
        for name in names:
            self._container(name).thaw()

    def console(self, name: str) -> str:
        return wait.console_tail(self._container(name).console)

    # -- parts ----------------------------------------------------------------------------------------------------

    def _open(self, progress: Progress) -> None:
        """Have the lab's namespaces, file system and network."""
        opened = self.keeper.pid is not None
        title = "Opening the lab's namespaces, disk and network"
        with contextlib.nullcontext() if opened else progress.stage(title):
            self.keeper.start()
            self.storage.start()
            self.network.start()

    def _container(self, name: str) -> Container:
        return Container(self.lab, self.cgroup, self.keeper, name)

    def _state(self, name: str) -> MachineState:
        container = self._container(name)
        if container.is_running():
            return "running"
        return "stopped" if (container.folder / "config").exists() else "absent"

    def _plug(self, host: HostSpec, docker_data: Path) -> Plug:
        return Plug(
            address=f"{host.address}/{self.spec.network.prefixlen}", gateway=str(self.spec.gateway),
            rootfs=self.storage.rootfs(host.name), docker_data=docker_data,
        )  # fmt: skip

    def _give_identity(self, hosts: Sequence[HostSpec]) -> None:
        """Write into each root what makes it that host: its keys, name, machine id, and who may log in."""
        public = ssh.make_key(self.lab)
        for host in hosts:
            self._write_identity(host, public)
        known = {
            path.name: (path / "host_key.pub").read_text()
            for path in sorted((self.lab.path / "hosts").iterdir())
            if (path / "host_key.pub").exists()
        }
        ssh.write_known_hosts(self.lab, known)
        everyone = [
            *self.spec.hosts,
            *(host for host in hosts if host.name not in {h.name for h in self.spec.hosts}),
        ]
        proxy = f'nsenter --net="{self.keeper.network}" nc %h %p'
        ssh.write_config(self.lab, [ssh.Route(host, str(host.address)) for host in everyone], proxy=proxy)

    def _write_identity(self, host: HostSpec, public_key: str) -> None:
        root = self.keeper.path(self.storage.rootfs(host.name))
        key = root / "etc/ssh/ssh_host_ed25519_key"
        if not key.exists():
            ssh.generate_key(key, comment=host.name)
            (root / "etc/machine-id").write_text(f"{uuid.uuid4().hex}\n")
            (root / "etc/hostname").write_text(f"{host.name}\n")
            (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n{host.address} {host.name}\n")
        authorized = root / "root/.ssh/authorized_keys"
        authorized.parent.mkdir(mode=0o700, exist_ok=True)
        if not authorized.exists():
            write_atomically(authorized, public_key + "\n")
        resolver = root / "etc/resolv.conf"
        resolver.unlink(missing_ok=True)
        resolver.write_text(f"nameserver {self.spec.gateway}\n")
        (self.lab.host(host.name) / "host_key.pub").write_text(key.with_name(key.name + ".pub").read_text())


def _hosts(hosts: Sequence[HostSpec]) -> str:
    return hosts[0].name if len(hosts) == 1 else f"{len(hosts)} hosts"
