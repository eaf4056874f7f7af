"""A pytest plugin: the fixture `service` is the whole service, running, on its own ports."""

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
from offload_dev.launcher.ports import first_free_port, wait_for_answer
from offload_dev.launcher.processes import choose_processes, readiness_path

# A slow machine takes 10 s for a start, and one that is busy with much else more than 60 s.
SERVICE_READY_TIMEOUT_SECONDS = 150.0
SERVICE_STOP_TIMEOUT_SECONDS = 20.0
CLIENT_TIMEOUT_SECONDS = 30.0
# The web process, Flower, the sandbox, Valkey and the metrics of the workers have one port each.
PORTS = 5


@dataclass
class RunningService:
    """A service that is running.

    Attributes:
        address: its URL without a path, such as `http://127.0.0.1:8000`.
        token: a token for its API.
        environment: the environment variables of its processes.
        client: an HTTP client that uses the address and the token.
    """

    address: str
    token: str
    environment: dict[str, str]
    client: httpx.Client


@contextmanager
def run_service(folder: Path, mode: str = "serve", **variables: str) -> Iterator[RunningService]:
    """Run `make serve` or `make dev` on free ports, with a database of its own; stop it at the end.

    The database is a file, or what the environment variable SERVICE_DATABASE_URL names.

    Args:
        folder: where the database and the log are written.
        mode: `serve` or `dev`.
        variables: more environment variables for the service.

    Raises:
        RuntimeError: it was not ready in time; the text holds what it printed.
    """
    port = first_free_port(PORTS)
    address = f"http://127.0.0.1:{port}"
    # Workers share the machine with other programs here. With less than the usual priority (nice)
    # a test would wait for them very long.
    defaults = {
        "DATABASE_URL": os.environ.get(
            "SERVICE_DATABASE_URL", f"sqlite:///{folder / 'db.sqlite3'}"
        ),
        "PORT": str(port),
        "WORKER_GRACE": "1",
        "WORKER_NICE": "0",
    }
    environment = os.environ | defaults | variables

    probe = address + readiness_path(choose_processes(mode))
    with _launcher(mode, environment, folder / "service.log", probe):
        token = _make_token(environment)
        with httpx.Client(
            base_url=address,
            headers={"Authorization": f"Bearer {token}"},
            timeout=CLIENT_TIMEOUT_SECONDS,
            trust_env=False,
        ) as client:
            yield RunningService(address, token, environment, client)


@contextmanager
def _launcher(mode: str, environment: dict[str, str], log: Path, probe: str) -> Iterator[None]:
    """The launcher, from when the service is ready until it has stopped."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "offload_dev.launcher", mode],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def is_running() -> bool:
        return process.poll() is None

    try:
        if not wait_for_answer(probe, SERVICE_READY_TIMEOUT_SECONDS, is_running):
            printed = log.read_text(errors="replace")
            raise RuntimeError(f"The service was not ready. It printed:\n{printed}")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(SERVICE_STOP_TIMEOUT_SECONDS)


def _make_token(environment: dict[str, str]) -> str:
    command = [sys.executable, "manage.py", "createtoken", "tests"]
    printed = subprocess.check_output(
        command, env=environment, stderr=subprocess.DEVNULL, text=True
    )
    return printed.strip()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service for the whole test run, as production runs it."""
    with run_service(tmp_path_factory.mktemp("service")) as running:
        yield running
