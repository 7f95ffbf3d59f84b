"""`provision`: lab machines, Docker on them, a swarm formed from them, and the proof that it works."""

__version__ = "0.1.0"
