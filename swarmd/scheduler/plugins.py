"""Plugins of the engine that a task needs: volume drivers and the log driver, as types and names.

Source: swarmkit ``manager/scheduler/filter.go``, ``PluginFilter``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from swarmd.model import EnginePlugin, MountType, Task

Plugin = tuple[str, str]
"""Type and name, as engines say them: Volume, Network, Authorization, Log."""

_LOG = "Log"
_ALWAYS_THERE = frozenset({"", "local"})
_NO_LOG_DRIVER = frozenset({"", "none"})


def needed_plugins(task: Task) -> frozenset[Plugin]:
    drivers = {
        ("Volume", mount.volume_options.driver_config.name)
        for mount in task.spec.container_spec.mounts
        if mount.type is MountType.VOLUME
        and mount.volume_options is not None
        and mount.volume_options.driver_config is not None
        and mount.volume_options.driver_config.name not in _ALWAYS_THERE
    }
    driver = task.spec.log_driver
    if driver is not None and driver.name not in _NO_LOG_DRIVER:
        drivers.add((_LOG, driver.name))
    return frozenset(drivers)


def plugins_of(plugins: Iterable[EnginePlugin]) -> frozenset[Plugin]:
    return frozenset((plugin.type, plugin.name) for plugin in plugins)


def has_plugins(plugins: Collection[Plugin], wanted: Iterable[Plugin]) -> bool:
    """Managed plugins have a tag in their names, and ``latest`` need not be said. An engine that names no log driver at
    all is too old to do so."""
    return all(
        (type_, name) in plugins
        or (type_, f"{name}:latest") in plugins
        or (type_ == _LOG and all(other != _LOG for other, _ in plugins))
        for type_, name in wanted
    )
