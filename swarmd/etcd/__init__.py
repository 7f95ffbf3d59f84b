"""etcd's API for asyncio, spoken to the member of this node over its unix socket."""

from swarmd.etcd.client import ATTEMPT, EtcdClient, WatchStream, persist, prefix_end
from swarmd.etcd.errors import EtcdError, EtcdUnavailable
from swarmd.etcd.following import Compacted, follow

__all__ = [
    "ATTEMPT",
    "Compacted",
    "EtcdClient",
    "EtcdError",
    "EtcdUnavailable",
    "WatchStream",
    "follow",
    "persist",
    "prefix_end",
]
