"""What Vagrant says when it fails becomes a sentence and a next step.

The texts in tests/unit/vagrant are what Vagrant 2.3.4 with vagrant-libvirt 0.11.2 printed when each failure was brought
about. Where one could not be brought about, the text is from the programs' own sources, and the test says so.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.errors import LabBusy, MachineLacks, ProvisionError
from provisioner.machines.vagrant.failures import FAILURES, explain

RECORDED = Path(__file__).parent / "vagrant"

BROUGHT_ABOUT = [
    ("no-box", MachineLacks, "the box 'provision/none' is not on this machine", "provision box build"),
    ("no-box-short", MachineLacks, "could not be fetched: Couldn't open file /none", "--box"),
    ("box-of-no-file", MachineLacks, "could not be fetched: Couldn't open file /nonexistent/none.box", "--box"),
    ("box-for-another", MachineLacks, "made for libvirt, and the lab's machines are on lxc", "provision box build"),
    ("no-provider", MachineLacks, "no provider 'hyperx'", "vagrant plugin install vagrant-hyperx"),
    ("no-virtualbox", MachineLacks, "VirtualBox is not installed", "provision doctor"),
    ("locked", LabBusy, "another Vagrant is at work on manager1", "ps -ef | grep vagrant"),
    ("orphan-volume", ProvisionError, "a disk is left of a machine", "provision up --name course"),
    ("no-pool", MachineLacks, "no storage pool", "virsh pool-define-as default"),
    ("no-network", ProvisionError, "libvirt's network 'vagrant-libvirt' is gone", "virsh net-list --all"),
    ("name-taken", ProvisionError, "a machine 'manager1' that Vagrant does not know", "virsh undefine manager1"),
    ("no-memory", MachineLacks, "no memory left", "--memory 768"),
    ("no-libvirtd", MachineLacks, "libvirt does not answer: Failed to connect socket", "systemctl start libvirtd"),
    ("vanished", ProvisionError, "vanished from libvirt while Vagrant was at work", "repeat the command"),
    ("no-ssh", ProvisionError, "ssh on it does not answer", "provision logs MACHINE --name course"),
    ("ssh-config-halted", ProvisionError, "does not run", "provision start --name course"),
]

FROM_THE_SOURCES = [
    # vagrant 2.3.4, templates/locales/en.yml: machine_action_locked
    (
        "An action 'up' was attempted on the machine 'manager1',\n"
        "but another process is already executing an action on the machine.",
        LabBusy,
        "another Vagrant is at work on manager1 (up was to be done)",
    ),
    # the same, box_add_no_matching_provider
    (
        "The box you're attempting to add doesn't support the provider you requested. Please find an\n"
        "alternate box or choose another provider.\n\nName: bento/debian-13\nAddress: https://boxes\n"
        "Requested provider: libvirt\n",
        MachineLacks,
        "the box 'bento/debian-13' is not made for libvirt",
    ),
    # the same, virtualbox_invalid_host_subnet
    (
        "The IP address configured for the host-only network is not within the\nallowed ranges. Please update the "
        "address used to be within the allowed\nranges and run the command again.\n\n  Address: 10.1.0.10\n"
        "  Ranges: 192.168.56.0/21\n",
        ProvisionError,
        "no host-only network with 10.1.0.10; it allows 192.168.56.0/21",
    ),
    # fog-core 2.3, lib/fog/core/wait_for.rb, which vagrant-libvirt raises when no lease appears
    ("The specified wait_for timeout (2 seconds) was exceeded (Fog::Errors::TimeoutError)", ProvisionError, "by DHCP"),
    # errno(3): ENOSPC
    ("Error while creating volume: No space left on device", MachineLacks, "the disk of this machine is full"),
]


@pytest.mark.parametrize(("name", "kind", "words", "next_step"), BROUGHT_ABOUT, ids=[row[0] for row in BROUGHT_ABOUT])
def test_a_failure_that_was_brought_about_is_explained(
    name: str, kind: type[ProvisionError], words: str, next_step: str
) -> None:
    error = explain((RECORDED / f"{name}.txt").read_text(), lab="course", verb="up")
    assert type(error) is kind
    assert words in error.message
    assert next_step in error.hint
    assert "\n" not in error.message, "it is one of ours, not a tail of the output"


@pytest.mark.parametrize(("text", "kind", "words"), FROM_THE_SOURCES, ids=[row[2] for row in FROM_THE_SOURCES])
def test_a_failure_known_from_the_sources_alone_is_explained(text: str, kind: type[ProvisionError], words: str) -> None:
    error = explain(text, lab="course", verb="up")
    assert type(error) is kind
    assert words in error.message
    assert error.hint


def test_every_row_is_met_by_a_text_of_its_own() -> None:
    texts = [(RECORDED / f"{name}.txt").read_text() for name, *_ in BROUGHT_ABOUT]
    texts += [text for text, *_ in FROM_THE_SOURCES]
    first = [next(failure for failure in FAILURES if failure.pattern.search(text)) for text in texts]
    assert [failure.pattern.pattern for failure in FAILURES if failure not in first] == []


def test_an_unknown_failure_shows_its_last_lines_without_rubys_trace() -> None:
    lines = [f"line {n}" for n in range(30)] + ["something new (RuntimeError)", "\tfrom /usr/lib/ruby/a.rb:1:in `b'"]
    error = explain("\n".join(lines), lab="course", verb="halt", log=Path("/a/log"))
    assert error.message.startswith("vagrant halt failed:")
    assert error.message.endswith("something new (RuntimeError)")
    assert "line 29" in error.message
    assert "line 3\n" not in error.message
    assert error.log == Path("/a/log")
