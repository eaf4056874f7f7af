import functools
import inspect
import logging

from django.core.cache import cache
from redis.exceptions import LockError

logger = logging.getLogger(__name__)


def locked_task(key: str = "", blocking: bool = False):
    """Lets one run of a task at a time do the work; others are skipped."""

    def decorator(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            bound = inspect.signature(function).bind(*args, **kwargs)
            name = f"{function.__name__}:{key.format(**bound.arguments)}"
            try:
                with cache.lock(name, blocking=blocking):
                    return function(*args, **kwargs)
            except LockError:
                logger.warning("%s is running already; this run is skipped.", name)
                return None

        return wrapper

    return decorator
