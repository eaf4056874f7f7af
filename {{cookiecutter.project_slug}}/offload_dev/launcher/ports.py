"""Free ports for a service, and waiting until a URL answers."""

import random
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack

ANSWER_TIMEOUT_SECONDS = 2.0
INTERVAL_BETWEEN_TRIES_SECONDS = 0.1
# Below those that Linux gives to clients (net.ipv4.ip_local_port_range): a connection of another
# program could take one of these before the service listens.
PORTS = (20_000, 32_700)


def first_free_port(count: int) -> int:
    """The first of `count` consecutive free ports on 127.0.0.1, at random."""
    while True:
        start = random.randrange(*PORTS)
        try:
            with ExitStack() as stack:
                for port in range(start, start + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
        except OSError:
            # One of them is taken.
            continue
        return start


def wait_for_answer(
    url: str, timeout_seconds: float, is_running: Callable[[], bool] = lambda: True
) -> bool:
    """Wait until a URL answers with a status below 400.

    Args:
        url: an address on this machine.
        timeout_seconds: how long to wait at most.
        is_running: says whether the process that shall answer still runs.

    Returns:
        True if it answered; False after the timeout, or when the process has ended.
    """
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline and is_running():
        try:
            # The URL is one of our own processes.
            with urllib.request.urlopen(url, timeout=ANSWER_TIMEOUT_SECONDS):  # noqa: S310
                return True
        except urllib.error.HTTPError as error:
            # It holds the response: Python 3.14 warns of one that nobody has closed.
            error.close()
        except OSError:
            # Nothing listens there yet.
            pass
        time.sleep(INTERVAL_BETWEEN_TRIES_SECONDS)
    return False
