"""A running demo, for the tests: start it, call it, edit it, stop it."""

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from waiting import wait_until

from offload_dev.launcher.ports import first_free_port

from .conftest import ROOT, SHARED

# A source was late, failed, or is left alone for a moment.
LATE_STATUSES = (502, 503, 504)
# This variable is in the environment of each process of the demo, so all of them can be found.
MARK = f"OFFLOAD_TEST_{uuid.uuid4().hex}"
RISK = {
    "holdings": {"ACME": 10, "GLOBEX": 3},
    "horizon_days": 10,
    "simulations": 100_000,
    "seed": 7,
}

# Workers give way: on a busy machine a job waits long, and one that cannot start ends after 40 s.
PATIENCE_SECONDS = 400


class Demo:
    """The running demo: where it is, what it printed, and what one does with it."""

    def __init__(self, folder: Path, **environment: str) -> None:
        """Start it in `folder`, generated there or by `make demo` itself, and wait until it is
        ready. `environment` has more variables.
        """
        self.project = folder / "risk_desk"
        self.port = first_free_port(5)
        self.log = folder / "demo.log"
        self.process = self._start(folder, environment)
        try:
            self._wait_for_start()
        except BaseException:
            # Nobody has this demo to stop it.
            self.interrupt()
            raise
        self.address = f"http://127.0.0.1:{self.port}"
        headers = {"Authorization": "Bearer dev-token"}
        self.client = httpx.Client(
            base_url=self.address, headers=headers, timeout=30, trust_env=False
        )

    def _start(self, folder: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        with self.log.open("wb") as output:
            return subprocess.Popen(
                ["make", "demo", f"DEMO={folder}", f"PORT={self.port}", *SHARED],
                cwd=ROOT,
                env=os.environ | environment | {MARK: str(folder)},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _wait_for_start(self) -> None:
        deadline = time.monotonic() + 200
        # The last line of the box that says where everything is.
        while "Flower: " not in self.printed():
            assert self.process.poll() is None, self.printed()
            assert time.monotonic() < deadline, self.printed()
            time.sleep(0.2)

    def interrupt(self) -> None:
        """What Ctrl-C in its terminal does."""
        os.killpg(self.process.pid, signal.SIGINT)

    def printed(self) -> str:
        return self.log.read_text(errors="replace")

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """The answer of a view that asks sources.

        A busy machine makes a source late that is required: the view says to try again.
        """
        deadline = time.monotonic() + 60
        while (answer := self.client.request(method, path, **more)).status_code in LATE_STATUSES:
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.5)
        return answer

    def risk(self, **changes: Any) -> str:
        answer = self.ask("POST", "/api/portfolio/risk", json=RISK | changes)
        assert answer.status_code == 202, answer.text
        location = answer.headers["location"]
        assert location.startswith("/api/jobs/")
        return location

    def job(self, location: str) -> dict[str, Any]:
        document: dict[str, Any] = self.client.get(location).json()
        return document

    def until(self, location: str, *states: str) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            job = self.job(location)
            return job if job["status"] in states else None

        what = f"{location} to be {' or '.join(states)}"
        job: dict[str, Any] = self._wait(reached, what)
        return job

    def wait(self, condition: Callable[[], bool]) -> None:
        self._wait(condition, "the demo")

    def _wait(self, condition: Callable[[], Any], what: str) -> Any:
        return wait_until(condition, what, PATIENCE_SECONDS, every=0.2, logs=self._state)

    def _state(self) -> str:
        return f"{processes()}\n{self.printed()[-10_000:]}"

    def ready(self) -> None:
        self.wait(lambda: self.client.get("/health/dependencies").status_code == 200)

    def edit(self, file: Path, text: str) -> None:
        """Change a file, and wait until web and workers run with it."""
        restarted, before = f"{file.name} changed: restarting", self.printed()
        write_at_once(file, text)
        self.wait(lambda: self.printed().count(restarted) == before.count(restarted) + 3)
        self.wait(
            lambda: self.printed().count("ready. [celery") >= before.count("ready. [celery") + 2
        )
        self.ready()

    def flower(self, path: str) -> Any:
        page = httpx.get(
            f"http://127.0.0.1:{self.port + 1}{path}", auth=("admin", "flower"), trust_env=False
        )
        return page.json() if page.status_code == 200 else page.status_code


def write_at_once(file: Path, text: str) -> None:
    """Change a file in one step.

    A reloader that looks between the emptying and the filling of a file restarts twice.
    """
    new = file.with_name(f"{file.name}.new")
    new.write_text(text)
    new.replace(file)


def processes(folder: Path | None = None) -> dict[int, str]:
    """Every process that carries the mark, or that of the demo in this folder (Linux; elsewhere
    nothing is found and nothing can be left).
    """
    mark = f"{MARK}={folder}\0" if folder else MARK
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (
                mark.encode() in (process / "environ").read_bytes()
                and int(process.name) != os.getpid()
            ):
                found[int(process.name)] = (
                    (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                )
        except OSError:
            continue
    return found
