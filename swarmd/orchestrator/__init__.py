"""Decides which tasks there are and what is wanted of them. Where they run is the scheduler's."""

from swarmd.orchestrator.loop import run
from swarmd.orchestrator.plan import plan

__all__ = ["plan", "run"]
