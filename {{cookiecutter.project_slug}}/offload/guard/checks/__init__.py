"""The guard at start: Django system checks of the tag `offload`, run again at each start."""

from offload.guard.checks.run_checks import StartRefused, run_checks

__all__ = ["StartRefused", "run_checks"]
