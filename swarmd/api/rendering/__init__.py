"""The model's objects as Docker's API prints them: what Go omits when it is empty is omitted, and nothing else."""

from swarmd.api.rendering.cluster import cluster, root_info, swarm_spec
from swarmd.api.rendering.common import Json, timestamp
from swarmd.api.rendering.configs import config
from swarmd.api.rendering.nodes import node
from swarmd.api.rendering.services import service, service_spec
from swarmd.api.rendering.tasks import task, task_spec

__all__ = [
    "Json",
    "cluster",
    "config",
    "node",
    "root_info",
    "service",
    "service_spec",
    "swarm_spec",
    "task",
    "task_spec",
    "timestamp",
]
