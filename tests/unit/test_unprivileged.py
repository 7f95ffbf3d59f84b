"""Virtual machines need no root and no module that is about Linux: the path of a laptop's user.

Each command runs as nobody, with those modules made unavailable. A program stands in for Vagrant and prints what
Vagrant 2.3.4 has printed on a real machine (recorded in tests/unit/vagrant/); another stands in for virsh.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

RECORDED = Path(__file__).parent / "vagrant"
NOBODY = 65534

# What a Mac does not have: modules of ours about namespaces, cgroups and LXC.
BLOCKED = "provisioner.machines.lxc provisioner.machines.namespaces provisioner.doctor.lxc"
RUN = """
import sys

class Unavailable:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(tuple("{blocked}".split())):
            raise ImportError(name + " is not available on this machine")

sys.meta_path.insert(0, Unavailable())
from provisioner.cli import main
sys.argv[0] = "provision"
main()
"""

VAGRANT = """\
#!/bin/sh
# Stands in for Vagrant: says what it has said, and remembers what it was told to do.
echo "$*" >> "$HOME/asked"
case "$*" in
    --version*) echo "Vagrant 2.3.4" ;;
    *"plugin list"*) cat "{recorded}/plugin-list.csv" ;;
    *up*) echo "Bringing machine 'manager1' up with 'libvirt' provider..."; echo running > "$HOME/state" ;;
    *destroy*) rm -f "$HOME/state" ;;
    *halt*) echo "shut off" > "$HOME/state" ;;
    *suspend*) echo saved > "$HOME/state" ;;
    *ssh-config*) cat "{recorded}/ssh-config.txt" ;;
    *status*) cat "{recorded}/status-running.csv" ;;
esac
"""

VIRSH = """\
#!/bin/sh
# Stands in for virsh: one domain, in the state that the stand-in for Vagrant has brought it to.
[ -e "$HOME/state" ] || exit 0
case "$*" in
    *list*) echo " 1 $(sed -n 's/.*"prefix": "\\(.*\\)".*/\\1/p' "$HOME"/.local/share/provision/labs/lab/vagrant/machines.json)manager1 $(cat "$HOME/state")" ;;
esac
"""  # noqa: E501


class User:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.bin = home / "bin"
        self.bin.mkdir()
        self._program("vagrant", VAGRANT.format(recorded=RECORDED))
        self._program("virsh", VIRSH)
        # ssh does not get into a machine that is not there; it must not look for one on this network either.
        self._program("ssh-keyscan", "#!/bin/sh\necho machine ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLE\n")
        self._program("ssh", '#!/bin/sh\necho "ssh: connect to host: Connection refused" >&2; exit 255\n')

    def _program(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def provision(self, *words: str, blocked: str = BLOCKED) -> subprocess.CompletedProcess[str]:
        environment = {
            "HOME": str(self.home), "PATH": f"{self.bin}:/usr/bin:/bin", "USER": "nobody", "LANG": "C.UTF-8",
        }  # fmt: skip
        return subprocess.run(
            [*_as_nobody(), sys.executable, "-c", RUN.format(blocked=blocked), *words],
            capture_output=True, text=True, timeout=60, env=environment, cwd=self.home, check=False,
        )  # fmt: skip

    @property
    def asked(self) -> str:
        return (self.home / "asked").read_text()


def _as_nobody() -> list[str]:
    """Where the tests run as root: nobody, who may read what root may (the interpreter may be below root's home)."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("no setpriv(1) to become nobody with")
    return [
        setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
        *(f"--{kind}=-all,+dac_read_search" for kind in ("bounding-set", "inh-caps", "ambient-caps")),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    with tempfile.TemporaryDirectory(prefix="u-", dir="/var/tmp") as folder:
        home = Path(folder)
        user = User(home)
        if os.geteuid() == 0:
            for path in (home, user.bin):
                os.chown(path, NOBODY, NOBODY)
        yield user


@pytest.fixture(scope="module")
def up(user: User) -> subprocess.CompletedProcess[str]:
    """`up`, which ends where ssh would have to reach a machine."""
    return user.provision("up", "--managers", "1", "--hypervisor", "libvirt", "--box", "some/box")


def test_virtual_machines_are_the_default_and_the_reason_is_said(up: subprocess.CompletedProcess[str]) -> None:
    assert "provider vagrant (libvirt" in up.stderr, up.stderr
    assert "Traceback" not in up.stderr


def test_a_machine_that_ssh_does_not_reach_is_named_with_the_reason(
    user: User, up: subprocess.CompletedProcess[str]
) -> None:
    assert up.returncode == 4, up.stderr
    assert "manager1: ssh does not get into manager1: ssh: connect to host: Connection refused" in up.stderr
    assert "up manager1 --provider=libvirt" in user.asked


def test_labs_and_their_files_are_the_users_own(user: User, up: subprocess.CompletedProcess[str]) -> None:
    lab = user.home / ".local" / "share" / "provision" / "labs" / "lab"
    assert (lab / "lab.json").exists()
    assert (lab / "vagrant" / "Vagrantfile").exists()
    assert "vagrant" in user.provision("list").stdout


def test_status_tells_the_states_of_machines_apart(user: User, up: subprocess.CompletedProcess[str]) -> None:
    assert "running" in user.provision("status").stdout
    user.provision("suspend")
    assert "saved" in user.provision("status").stdout
    (user.home / "state").write_text("shut off\n")
    assert "stopped" in user.provision("status").stdout


def test_a_hypervisor_that_does_not_answer_hides_no_lab(user: User, up: subprocess.CompletedProcess[str]) -> None:
    virsh = (user.bin / "virsh").read_text()
    (user.bin / "virsh").write_text("#!/bin/sh\necho 'error: failed to connect to the hypervisor' >&2; exit 1\n")
    try:
        listed = user.provision("list")
    finally:
        (user.bin / "virsh").write_text(virsh)
    assert listed.returncode == 0, listed.stderr
    assert "unknown (libvirt does not answer" in " ".join(listed.stdout.split())


def test_down_destroys_the_machines_and_may_be_repeated(user: User, up: subprocess.CompletedProcess[str]) -> None:
    assert user.provision("down").returncode == 0
    assert "destroy" in user.asked
    assert not (user.home / ".local" / "share" / "provision" / "labs" / "lab").exists()
    again = user.provision("down")
    assert again.returncode == 0
    assert "nothing to take away" in again.stderr


def test_containers_are_refused_with_the_way_out(user: User) -> None:
    done = user.provision("up", "--provider", "lxc")
    assert done.returncode == 7
    assert "take root" in done.stderr
    assert "--provider vagrant" in done.stderr


def test_doctor_tells_what_is_there(user: User) -> None:
    said = user.provision("doctor", blocked="").stdout  # it looks at what containers need, too, on Linux
    assert "vagrant: Vagrant" in said
    assert "makes machines with libvirt" in said
