"""The rule, enforced four times: as written, at start, while running, and in tests."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offload.guard.running.lifespan import lifespan
    from offload.guard.started import run_checks

__all__ = ["lifespan", "run_checks"]


def __getattr__(name: str) -> Any:
    """Import on demand: `python -m offload.guard` runs on a bare Python, without Django."""
    if name == "lifespan":
        from offload.guard.running.lifespan import lifespan

        return lifespan
    if name == "run_checks":
        from offload.guard.started import run_checks

        return run_checks
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
