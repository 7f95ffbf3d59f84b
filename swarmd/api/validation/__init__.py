"""What Docker's managers refuse in a spec, with their words (moby/swarmkit ``manager/controlapi``)."""

from swarmd.api.validation.references import is_image_reference
from swarmd.api.validation.service import LARGEST_SPEC, check_service
from swarmd.api.validation.swarm import check_address_pool, check_data_path_port, check_swarm, with_port

__all__ = [
    "LARGEST_SPEC",
    "check_address_pool",
    "check_data_path_port",
    "check_service",
    "check_swarm",
    "is_image_reference",
    "with_port",
]
