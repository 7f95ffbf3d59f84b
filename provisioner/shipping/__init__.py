"""swarmd for hosts without a network: its own source, its libraries for the hosts' Python, and etcd, in one archive.

This machine fetches what is missing once, from the Python package index and Debian's mirror, and keeps it in
``cache/swarmd/``. The role `swarmd` unpacks the archive on each host. Nothing here imports the daemon.
"""

from __future__ import annotations

from provisioner.shipping.bundle import ENGINE, KIND, Bundle, is_current, make, of_base, of_lab
from provisioner.shipping.target import Target

__all__ = ["ENGINE", "KIND", "Bundle", "Target", "is_current", "make", "of_base", "of_lab"]
