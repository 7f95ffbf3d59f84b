"""How etcd, or the way to it, fails."""

from __future__ import annotations

from swarmd.errors import Internal


class EtcdUnavailable(Internal):
    """No answer in time, or none that says anything: no leader, a lost connection, a member that starts or stops.

    Whether the call was carried out is unknown; it may help to repeat it.
    """


class EtcdError(Internal):
    """etcd answered, and refuses; to repeat the call does not help by itself."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(f"{words} ({code})")
        self.code = code
        """gRPC's, as ``FAILED_PRECONDITION``."""
        self.words = words
        """etcd's sentence, as ``etcdserver: member not found``."""
