"""Refuses pools in which a worker cannot keep its promises."""

from typing import Any

import billiard
from celery.concurrency.prefork import TaskPool


def require_forked_processes(worker: Any) -> None:
    """Check Celery's worker at its start.

    Raises:
        SystemExit: the pool has no forked processes.
    """
    if not issubclass(worker.pool_cls, TaskPool):
        raise SystemExit(
            f"this worker cannot use the pool {worker.pool_cls.__module__}: jobs compute in "
            "processes, which limits and cancels can end. Leave out -P, or give -P prefork"
        )
    if worker.pool_start_method != "fork":
        raise SystemExit(
            f"this worker cannot start its processes by {worker.pool_start_method}: they share "
            "memory with the main process, and inherit its id. Leave worker_pool_start_method at "
            "fork"
        )
    # billiard's own default on macOS is spawn since 4.3, whatever Celery's setting says.
    if billiard.get_start_method() != "fork":
        billiard.set_start_method("fork", force=True)
