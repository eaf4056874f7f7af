"""The service that is measured: broker, sandbox, worker and several web processes, all real.

It runs on ports and a database of its own.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from offload_dev.launcher.ports import first_free_port, wait_for_answer

# Each web process gets so long. They start at the same time, which takes some seconds, and a minute
# and more on a machine with much else to do. A process that ends is noticed at once.
START_TIMEOUT_SECONDS = 300.0
STOP_TIMEOUT_SECONDS = 20.0
# So many of the last lines are shown if the service does not start.
LOG_LINES_SHOWN = 40
# Ports that the settings name: web, Flower, sandbox, broker and the metrics of the workers.
SETTINGS_PORTS = 5
# Rows in the table that the row `orm` queries.
GROUPS = 100


@dataclass(frozen=True)
class WebProcess:
    """A web process, and its address without a path."""

    process: psutil.Popen
    address: str

    def is_running(self) -> bool:
        return self.process.poll() is None


class MeasuredService:
    """The processes that are measured.

    Attributes:
        token: a token for the service's API.
        database: the database's file.
        worker: the main process of the worker.
        redis: the broker.
        webs: the web processes by name.
    """

    def __init__(self, folder: Path, webs: Sequence[str], database_url: str | None) -> None:
        first = first_free_port(SETTINGS_PORTS + len(webs))
        web_ports = range(first + SETTINGS_PORTS, first + SETTINGS_PORTS + len(webs))
        self.ports = dict(zip(webs, web_ports, strict=True))
        self.database = folder / "db.sqlite3"
        self.log = folder / "service.log"
        self.worker: psutil.Popen
        self.redis: psutil.Popen
        self.webs: dict[str, WebProcess] = {}

        os.environ.update(
            PORT=str(first),
            DATABASE_URL=database_url or f"sqlite:///{self.database}",
            DJANGO_SETTINGS_MODULE="benchmarks.settings",
            WORKER_GRACE="1",
            DEBUG="0",
            LOG_LEVEL="INFO",
        )
        # These follow PORT where they are not set.
        for name in ("REDIS_URL", "FLOWER_PORT", "SANDBOX_PORT"):
            os.environ.pop(name, None)
        self.token = _fill_database()

    @contextmanager
    def running(self, module: str, *arguments: str) -> Iterator[psutil.Popen]:
        """One process of the service, `python -m module`, as long as this context is open."""
        with self.log.open("ab") as log:
            process = psutil.Popen(
                [sys.executable, "-m", module, *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
            try:
                with suppress(psutil.TimeoutExpired):
                    process.wait(STOP_TIMEOUT_SECONDS)
            finally:
                # A second Ctrl-C interrupts the wait. The process is killed then, too.
                if process.is_running():
                    process.kill()

    def start(self, stack: ExitStack) -> None:
        """Start all processes at once, and wait until the web processes are ready.

        Raises:
            RuntimeError: one of them did not start; the text says which, and the log's last lines.
        """
        self._stack = stack
        self.redis = stack.enter_context(self.running("offload_dev.launcher.embedded_valkey"))
        stack.enter_context(self.running("sandbox"))
        self._start_worker()
        for name, port in self.ports.items():
            arguments = ("--port", str(port), "--drain", "0")
            process = stack.enter_context(self.running("offload.serving", *arguments))
            self.webs[name] = WebProcess(process, f"http://127.0.0.1:{port}")

        for name, web in self.webs.items():
            probe = web.address + "/health/dependencies"
            if not wait_for_answer(probe, START_TIMEOUT_SECONDS, web.is_running):
                raise RuntimeError(self._why_not_ready(name, web, probe))

    def replace_worker(self, *arguments: str) -> None:
        """End the worker, and start one with further arguments in its place."""
        processes = [self.worker, *self.worker.children(recursive=True)]
        self.worker.terminate()
        with suppress(psutil.TimeoutExpired):
            self.worker.wait(STOP_TIMEOUT_SECONDS)
        # On a busy machine some of them may still be there. They have no jobs.
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._start_worker(*arguments)

    def _start_worker(self, *arguments: str) -> None:
        command = ("offload.jobs", "-Q", "cpu", "-n", "cpu@%h", *arguments)
        self.worker = self._stack.enter_context(self.running(*command))

    def _why_not_ready(self, name: str, web: WebProcess, probe: str) -> str:
        what = (
            f"did not answer {probe} with success within {START_TIMEOUT_SECONDS:.0f} s"
            if web.is_running()
            else f"ended with status {web.process.returncode}"
        )
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
        return "\n".join(
            [f"The service did not start: web process {name!r} {what}. Its last lines:", *lines]
        )


@contextmanager
def measured_service(
    webs: Sequence[str], database_url: str | None = None
) -> Iterator[MeasuredService]:
    """A running service with web processes of these names; on SQLite if no database is given."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # The path is resolved, as in the list of files that a process has open.
        service = MeasuredService(folder.resolve(), webs, database_url)
        service.start(stack)
        try:
            yield service
        finally:
            # They stop at the same time; then the stack waits for each.
            for web in service.webs.values():
                web.process.terminate()


def _fill_database() -> str:
    """Make the database and its rows; returns a token for the API."""
    import django

    django.setup()
    from django.contrib.auth.models import Group
    from django.core.management import call_command

    from benchmarks.views import OWNER
    from offload.access.models import ApiToken

    call_command("migrate", verbosity=0)
    Group.objects.bulk_create([Group(name=f"group {number}") for number in range(GROUPS)])
    return ApiToken.make(OWNER)[1]
