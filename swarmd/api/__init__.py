"""Docker's API v1.45 as far as it is swarm's, and the engine's answers that must be rewritten."""

from swarmd.api.application import create_application, serving

__all__ = ["create_application", "serving"]
