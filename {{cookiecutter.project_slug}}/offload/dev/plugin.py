"""A pytest plugin: `service` is the whole service running for real, on ports and a database of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from offload.fanout.http import httpx

PATIENCE = 60.0  # seconds for a start; a slow machine takes 10


@dataclass
class Service:
    """A running service: its address, an API token for it, its environment, and a client that uses both."""

    address: str
    token: str
    environment: dict[str, str]
    client: httpx.Client


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


@contextmanager
def running(folder: Path, mode: str = "serve", **variables: str) -> Iterator[Service]:
    """`make serve` or `make dev` on free ports, with a database in `folder`; stopped at the end.

    Raises:
        RuntimeError: it was not ready in time; the message holds what it printed.
    """
    port = free_ports(4)
    database = {"DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}", "PORT": str(port)}
    environment = os.environ | database | {"WORKER_GRACE": "1"} | variables
    log = folder / "service.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "offload.dev", mode], env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(process, address, log)
        make_token = [sys.executable, "manage.py", "createtoken", "tests"]
        token = subprocess.check_output(make_token, env=environment, stderr=subprocess.DEVNULL, text=True).strip()
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=address, headers=headers, timeout=30, trust_env=False) as client:
            yield Service(address, token, environment, client)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health/ready", timeout=2):  # noqa: S310 - loopback
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"the service was not ready:\n{log.read_text(errors='replace')}")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for the whole test run, as production runs it."""
    with running(tmp_path_factory.mktemp("service")) as started:
        yield started
