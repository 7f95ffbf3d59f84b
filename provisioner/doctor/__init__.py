"""What this machine lacks for each provider, what will not work without it, and the exact command that mends it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from provisioner import shipping
from provisioner.doctor.finding import Finding, Verdict
from provisioner.errors import MachineLacks
from provisioner.lab import LabSpec

__all__ = ["Finding", "Verdict", "examine", "require"]


def examine() -> list[Finding]:
    """Every finding, the good ones too, provider by provider."""
    from provisioner.doctor import servers, swarmd, vagrant  # noqa: PLC0415

    return [*_lxc(), *vagrant.examine(), *servers.examine(), *swarmd.examine()]


def require(spec: LabSpec) -> None:
    """:raises MachineLacks: something is missing without which this lab cannot be made."""
    if spec.provider == "lxc":
        _require(_lxc())
    if not all(bundle.path.is_file() for bundle in shipping.of_lab(spec)):
        from provisioner.doctor import swarmd  # noqa: PLC0415

        _require(list(swarmd.examine()))


def _lxc() -> list[Finding]:
    if not sys.platform.startswith("linux"):
        return [Finding("lxc", "system", "missing", sys.platform, "it needs Linux", "provision up --provider vagrant")]
    from provisioner.doctor import lxc  # noqa: PLC0415 (Linux only)

    return list(lxc.examine())


def _require(findings: Sequence[Finding]) -> None:
    missing = [finding for finding in findings if finding.verdict == "missing"]
    if missing:
        cures = list(dict.fromkeys(finding.cure for finding in missing if finding.cure))
        raise MachineLacks(
            "this machine lacks what a lab needs:\n"
            + "\n".join(f"  {finding.subject}: {finding.seen}; {finding.consequence}" for finding in missing),
            hint=" && ".join(cures) or "provision doctor",
        )
