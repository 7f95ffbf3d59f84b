"""Decides where tasks run."""

from swarmd.scheduler.loop import run
from swarmd.scheduler.place import place

__all__ = ["place", "run"]
