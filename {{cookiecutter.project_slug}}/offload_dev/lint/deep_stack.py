"""Calls a function that may recurse deeper than Python allows by itself."""

import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")

# A condition with 400 `elif` has as many levels, and so has a sum of 400 texts. Calls from function
# to function take about six levels each.
MAX_LEVELS = 50_000
# 5 kB a level. The system gives memory only to what is used of it.
STACK_BYTES = 256 * 1024 * 1024


def with_deep_stack(function: Callable[[], Result]) -> Result:
    """Call a function in a thread of its own, whose stack holds `MAX_LEVELS` calls.

    Raises:
        BaseException: what the function raises.
    """
    done: Future[Result] = Future()

    def work() -> None:
        try:
            done.set_result(function())
        except BaseException as error:  # noqa: BLE001 - the caller gets it
            done.set_exception(error)

    sys.setrecursionlimit(MAX_LEVELS)
    threading.stack_size(STACK_BYTES)
    # As a daemon it does not keep Ctrl-C waiting.
    threading.Thread(target=work, daemon=True).start()
    return done.result()
