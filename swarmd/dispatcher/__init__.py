"""Sessions with agents, on the leader: who is there, what each node is to run, what nodes report."""

from swarmd.dispatcher.dispatcher import Dispatcher
from swarmd.dispatcher.probe import IcmpProbe, Probe
from swarmd.dispatcher.prober import Prober
from swarmd.dispatcher.session import turn_away
from swarmd.dispatcher.succession import Succession

__all__ = ["Dispatcher", "IcmpProbe", "Probe", "Prober", "Succession", "turn_away"]
