"""What a worker does once, at its start: it imports what jobs need, and checks pool and Redis."""

import ast
import importlib
import inspect
import logging
import textwrap
from typing import Any

import billiard
import redis
from celery.concurrency.prefork import TaskPool

from offload.conf import conf
from offload.jobs.job_type import JobType
from offload.redis_answers import strict_answers

logger = logging.getLogger("offload.jobs")

# Seconds to connect and to wait for an answer.
REDIS_TIMEOUT_SECONDS = 2.0


def preload(job_type: JobType[Any, Any]) -> None:
    """Run the imports in the function's body, before the worker forks.

    A broken import then ends the worker at its start, and the forked processes share the imported
    code.
    """
    source = textwrap.dedent(inspect.getsource(job_type.function))
    package = job_type.function.__module__.rpartition(".")[0]

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module("." * node.level + (node.module or ""), package)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{module.__name__}.{alias.name}")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)


def require_forked_processes(worker: Any) -> None:
    """Refuse a pool without forked processes, in which a worker cannot keep its promises.

    Raises:
        SystemExit: it is such a pool.
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


def check_redis_policy() -> None:
    """Warn of a Redis that drops messages when its memory is full. A managed one may not tell."""
    try:
        with (
            strict_answers(),
            redis.Redis.from_url(
                conf().redis_url,
                socket_timeout=REDIS_TIMEOUT_SECONDS,
                socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
            ) as client,
        ):
            policy = client.config_get("maxmemory-policy").get("maxmemory-policy")
    except redis.RedisError as error:
        logger.info(
            "Redis does not tell its maxmemory-policy; see that it is noeviction: %s", error
        )
        return

    if policy != "noeviction":
        logger.warning(
            "Redis has maxmemory-policy %s and may drop messages: set it to noeviction", policy
        )
