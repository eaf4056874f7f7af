"""Finds calls to other services that wait without a limit."""

from contextlib import AbstractContextManager
from typing import Any

from offload_dev.pytest.watched_calls import Method, complain_before, is_of_a_test

# Each sync client on Python's own HTTP uses it: requests, urllib3, botocore, urllib.
ANSWERS = (Method("http.client", "HTTPConnection", "getresponse"),)
WITHOUT_LIMIT = "waits for an answer without a limit: docs/guard/OFF405.md"


def find_unlimited(found: list[str]) -> AbstractContextManager[None]:
    """Add a sentence for each such call of the service. A test itself may wait as it likes."""

    def waits_without_limit(connection: Any, *_: Any, **__: Any) -> str | None:
        sock = connection.sock
        unlimited = sock is not None and sock.gettimeout() is None
        return WITHOUT_LIMIT if unlimited and not is_of_a_test() else None

    return complain_before(ANSWERS, waits_without_limit, found)
