"""Docker's swarm mode as a daemon of its own: on etcd, the local Docker Engine and the kernel."""

__version__ = "0.1.0"
