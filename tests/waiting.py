"""Waiting for something that another process does."""

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

# A service that starts or is busy refuses connections, answers late, or answers with an error in
# another form than the one that is waited for.
NOT_YET = (httpx.HTTPError, json.JSONDecodeError, KeyError)


def wait_until(
    holds: Callable[[], Any],
    what: str,
    seconds: float,
    every: float = 0.05,
    logs: Callable[[], str] = str,
) -> Any:
    """Wait until something holds, and fail if it never does.

    Args:
        holds: asked again and again. An answer that does not come counts as no.
        what: what is waited for; it stands in the failure.
        seconds: for how long.
        every: seconds between two questions.
        logs: what the failure shows besides.

    Returns:
        What `holds` returned.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            if found := holds():
                return found
            last = ""
        except NOT_YET as error:
            last = f"; at last {error!r}"
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds} s for {what}{last}\n{logs()}")
        time.sleep(every)
