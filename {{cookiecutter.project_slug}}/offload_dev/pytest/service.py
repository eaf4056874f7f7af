"""A pytest plugin: `service` is the whole service running for real, on ports and a database of its
own.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from offload.fanout.http import httpx
from offload_dev.launcher.ports import answers, free_ports

# Seconds for a start; a slow machine takes 10.
PATIENCE = 60.0


@dataclass
class Service:
    """A running service: its address, an API token for it, its environment, and a client that uses
    both.
    """

    address: str
    token: str
    environment: dict[str, str]
    client: httpx.Client


@contextmanager
def running(folder: Path, mode: str = "serve", **variables: str) -> Iterator[Service]:
    """`make serve` or `make dev` on free ports, with a database in `folder`; stopped at the end.

    Raises:
        RuntimeError: it was not ready in time; the message holds what it printed.
    """
    port = free_ports(4)
    database = {"DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}", "PORT": str(port)}
    # Workers don't give way here: beside other programs a test would wait for them for ever.
    environment = os.environ | database | {"WORKER_GRACE": "1", "WORKER_NICE": "0"} | variables
    log = folder / "service.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "offload_dev.launcher", mode],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        if not answers(f"{address}/health/ready", PATIENCE, alive=lambda: process.poll() is None):
            raise RuntimeError(f"the service was not ready:\n{log.read_text(errors='replace')}")
        make_token = [sys.executable, "manage.py", "createtoken", "tests"]
        token = subprocess.check_output(
            make_token, env=environment, stderr=subprocess.DEVNULL, text=True
        ).strip()
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=address, headers=headers, timeout=30, trust_env=False) as client:
            yield Service(address, token, environment, client)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for the whole test run, as production runs it."""
    with running(tmp_path_factory.mktemp("service")) as started:
        yield started
