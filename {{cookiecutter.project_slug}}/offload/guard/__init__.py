"""Guards the event loop: checks at start (`checks`), a watchdog at run time (`runtime`)."""

from offload.guard.checks import run_checks
from offload.guard.runtime.guard_lifespan import guard_of, lifespan

__all__ = ["guard_of", "lifespan", "run_checks"]
