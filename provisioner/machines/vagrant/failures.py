"""What Vagrant and its plug-ins say when they fail, in our words with the next step.

Vagrant's messages are sentences of its own translation files, in English only; a parallel `up` wraps several of them
into one text without their classes. So they are recognised by their words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import LabBusy, MachineLacks, ProvisionError

TAIL_LINES = 12


@dataclass(frozen=True)
class Failure:
    pattern: re.Pattern[str]
    message: str
    """May name the pattern's groups and {lab}."""
    hint: str
    error: type[ProvisionError] = ProvisionError


def _failure(pattern: str, message: str, hint: str, error: type[ProvisionError] = ProvisionError) -> Failure:
    # Vagrant folds its sentences: a blank stands for any white space.
    return Failure(re.compile(pattern.replace(" ", r"\s+"), re.DOTALL), message, hint, error)


FAILURES = (
    _failure(
        r"The box '(?P<box>[^']+)' could not be found or could not be accessed in the remote catalog",
        "the box {box!r} is not on this machine, and Vagrant's public catalogue does not give it",
        "make our own: provision box build; or name another by name, path or URL: provision up --box NAME",
        MachineLacks,
    ),
    _failure(
        r"An error occurred while downloading the remote file\. The error .*? try again\. (?P<why>[^\n]+)",
        "the box could not be fetched: {why}",
        "check the path or URL given by --box, or make our own: provision box build",
        MachineLacks,
    ),
    _failure(
        r"The box you attempted to add doesn't match the provider you specified\."
        r" Provider expected: (?P<provider>[^\n]+) Provider of box: (?P<made_for>[^\n]+)",
        "the box is made for {made_for}, and the lab's machines are on {provider}",
        "make our own for it: provision box build; or name another: provision up --box NAME",
        MachineLacks,
    ),
    _failure(
        r"The provider '(?P<provider>[^']+)' could not be found, but was requested to back the machine",
        "Vagrant has no provider {provider!r}: its plug-in is not installed",
        "install it: vagrant plugin install vagrant-{provider}, or your system's package of that name",
        MachineLacks,
    ),
    _failure(
        r"The box you're attempting to add doesn't support the provider you requested\."
        r".*? Name: (?P<box>\S+) .*? Requested provider: (?P<provider>[^\n]+)",
        "the box {box!r} is not made for {provider}",
        "make our own for it: provision box build; or name another: provision up --box NAME",
        MachineLacks,
    ),
    _failure(
        r"Vagrant could not detect VirtualBox!",
        "VirtualBox is not installed, or VBoxManage is not on the PATH",
        "install VirtualBox, or take another provider: provision doctor shows which ones this machine has",
        MachineLacks,
    ),
    _failure(
        r"The IP address configured for the host-only network is not within the allowed ranges\."
        r".*? Address: (?P<address>\S+) Ranges: (?P<ranges>[^\n]+)",
        "VirtualBox allows no host-only network with {address}; it allows {ranges}",
        "give the lab a subnet within them: provision up --subnet 192.168.56.0/24",
    ),
    _failure(
        r"An action '(?P<action>[^']+)' was attempted on the machine '(?P<machine>[^']+)', but another process is",
        "another Vagrant is at work on {machine} ({action} was to be done)",
        "wait until it has ended; `ps -ef | grep vagrant` shows one that hangs, and killing it frees the machine",
        LabBusy,
    ),
    _failure(
        r"Vagrant can't use the requested machine because it is locked! .*? Name: (?P<machine>\S+)",
        "another Vagrant is at work on {machine}",
        "wait until it has ended; `ps -ef | grep vagrant` shows one that hangs, and killing it frees the machine",
        LabBusy,
    ),
    _failure(
        r"Volume for domain is already created",
        "a disk is left of a machine that was taken away without Vagrant",
        "`provision up --name {lab}` removes it; by hand: virsh vol-list default, then "
        "virsh vol-delete NAME --pool default",
    ),
    _failure(
        r"No usable storage pool found!",
        "libvirt has no storage pool of the name that the lab's description gives",
        "virsh pool-list --all shows them; make one: "
        "virsh pool-define-as default dir --target /var/lib/libvirt/images && virsh pool-start default",
        MachineLacks,
    ),
    _failure(
        r"Network not found: no network with matching name '(?P<network>[^']+)'",
        "libvirt's network {network!r} is gone: it goes with the last machine that Vagrant destroys, "
        "and is not made where another has its addresses",
        "repeat the command; `virsh net-list --all` shows which networks there are",
    ),
    _failure(
        r"Name `(?P<domain>[^`]+)` of domain about to create is already taken",
        "libvirt has a machine {domain!r} that Vagrant does not know as the lab's",
        "take it away: virsh destroy {domain}; virsh undefine {domain} --managed-save; then repeat the command",
    ),
    _failure(
        r"(?:cannot set up guest memory '[^']+': Cannot allocate memory|Cannot allocate memory|VERR_NO_MEMORY|"
        r"NS_ERROR_OUT_OF_MEMORY|E_OUTOFMEMORY)",
        "this machine has no memory left for the lab's machines",
        "give each less (provision up --memory 768), make fewer of them, or end another lab: provision list",
        MachineLacks,
    ),
    _failure(
        r"Error while connecting to Libvirt: .*?(?P<why>(?:Failed|authentication|unable)[^\n]*)",
        "libvirt does not answer: {why}",
        "start it: systemctl start libvirtd; you must be root or in the group libvirt",
        MachineLacks,
    ),
    _failure(
        r"(?:No domain found\.|Domain not found)[^\n]*",
        "a machine has vanished from libvirt while Vagrant was at work on it",
        "repeat the command: what is missing is made anew",
    ),
    _failure(
        r"Timed out while waiting for the machine to boot\.",
        "a machine was started, but ssh on it does not answer",
        "look at its console: provision logs MACHINE --name {lab}; on a slow machine repeat the command",
    ),
    _failure(
        r"The specified wait_for timeout \([^)]*\) was exceeded",
        "a machine was started, but takes no address by DHCP",
        "look at its console: provision logs MACHINE --name {lab}; on a slow machine repeat the command",
    ),
    _failure(
        r"not yet ready for SSH\.",
        "a machine does not run, so ssh cannot reach it",
        "provision start --name {lab}",
    ),
    _failure(
        r"No space left on device",
        "the disk of this machine is full",
        "free some, for example by `provision cache prune`, then repeat the command",
        MachineLacks,
    ),
)  # fmt: skip


def explain(output: str, *, lab: str, verb: str, log: Path | None = None) -> ProvisionError:
    """The error for what a failed `vagrant` has printed.

    :param output: both of its streams.
    :returns: the first known failure in our words; for an unknown one, the last lines of the output.
    """
    for failure in FAILURES:
        if found := failure.pattern.search(output):
            words = {name: (text or "").strip() for name, text in found.groupdict().items()} | {"lab": lab}
            return failure.error(failure.message.format(**words), hint=failure.hint.format(**words), log=log)
    lines = [line for line in output.splitlines() if not line.startswith("\tfrom ")]  # Ruby's trace
    tail = "\n".join(f"  {line}" for line in lines[-TAIL_LINES:])
    return ProvisionError(f"vagrant {verb} failed:\n{tail}", hint="the log has all that Vagrant said", log=log)
