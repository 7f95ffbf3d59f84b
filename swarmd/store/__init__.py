"""The cluster's state: kept in etcd, mirrored in memory on every manager."""

from swarmd.store.contract import Change, Delete, Entry, Kind, Put, Snapshot, Store, Unchanged

__all__ = ["Change", "Delete", "Entry", "Kind", "Put", "Snapshot", "Store", "Unchanged"]
