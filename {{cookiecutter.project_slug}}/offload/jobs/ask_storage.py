"""Asks file storage from a web process, for a few seconds at most: a storage may hang."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from offload.problems import Problem
from offload.serving.file_threads import in_file_thread

# Seconds that one call of file storage may take: to open a file, or to read a piece of it.
STORAGE_ANSWER_SECONDS = 10.0
# What a client is told to wait for before it asks again.
RETRY_AFTER_SECONDS = 10

P = ParamSpec("P")
R = TypeVar("R")


async def ask_storage(call: Callable[P, R], *args: P.args, **named: P.kwargs) -> R:
    """What a call of file storage returns. Its thread may go on: nothing ends one that hangs.

    Raises:
        Problem: 503: it has not answered in time.
        Exception: what the call raised.
    """
    try:
        async with asyncio.timeout(STORAGE_ANSWER_SECONDS):
            return await in_file_thread(call)(*args, **named)
    except TimeoutError as error:
        raise Problem(
            503,
            "file storage, which has the result, does not answer: ask again later",
            headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        ) from error
