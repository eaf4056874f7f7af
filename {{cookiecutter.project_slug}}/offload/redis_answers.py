"""What redis-py raises at an answer that is none, such as of another server at Redis's port."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis

# redis-py 8.1 takes for granted that Redis's protocol is spoken. Its parser fails with ValueError
# and RecursionError, and what reads the parsed answers with the others.
NONSENSE_ERRORS = (AttributeError, LookupError, RecursionError, TypeError, ValueError)


@contextmanager
def strict_answers() -> Iterator[None]:
    """Only calls of redis-py belong in the block: an error of our own would look like nonsense.

    Raises:
        redis.InvalidResponse: the answer is not that of a Redis.
    """
    try:
        yield
    except NONSENSE_ERRORS as error:
        raise redis.InvalidResponse(f"what answers there is no Redis: {error!r}") from error
