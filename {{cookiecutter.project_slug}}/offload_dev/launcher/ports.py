"""Free ports for a service that runs beside others, and waiting until it answers."""

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack


def free_ports(count: int) -> int:
    """The first of `count` consecutive free ports on loopback."""
    while True:
        with ExitStack() as stack:
            first = stack.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            start: int = first.getsockname()[1]
            try:
                for port in range(start + 1, start + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                continue
            return start


def answers(url: str, patience: float, alive: Callable[[], bool] = lambda: True) -> bool:
    """Wait until `url` answers with a status below 400; False after `patience` seconds, or once
    `alive` says no.
    """
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and alive():
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own loopback address
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    return False
