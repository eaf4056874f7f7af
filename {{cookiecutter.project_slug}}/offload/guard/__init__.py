"""The rule, enforced at start (`checks`) and while the service runs (`runtime`)."""

from offload.guard.checks import run_checks
from offload.guard.runtime.lifespan import lifespan

__all__ = ["lifespan", "run_checks"]
