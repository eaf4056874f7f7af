"""The real service, on ports and a database of its own: broker, stand-ins, worker, and a web process at a time."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from offload.dev.ports import answers, free_ports

PATIENCE = 60.0  # seconds for a start
GROUPS = 100  # rows that the ORM's work queries


class Service:
    """What runs: `address` of the web process, a `token` for it, the `database` file, the `worker`'s main process."""

    def __init__(self, folder: Path) -> None:
        self.port = free_ports(4)
        self.address = f"http://127.0.0.1:{self.port}"
        self.database = folder / "db.sqlite3"
        self.log = folder / "service.log"
        self.worker: psutil.Popen
        self._probe = "/health/ready"
        os.environ.update(
            PORT=str(self.port),
            DATABASE_URL=f"sqlite:///{self.database}",
            DJANGO_SETTINGS_MODULE="benchmarks.settings",
            WORKER_GRACE="1",
            DEBUG="0",
            LOG_LEVEL="INFO",
        )
        for name in ("REDIS_URL", "FLOWER_PORT", "SANDBOX_PORT"):  # they follow the port
            os.environ.pop(name, None)
        self.token = _fill()

    @contextmanager
    def running(self, module: str, *arguments: str) -> Iterator[psutil.Popen]:
        """A process of the service: `python -m module`."""
        with self.log.open("ab") as log:
            process = psutil.Popen(
                [sys.executable, "-m", module, *arguments], stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except psutil.TimeoutExpired:
                process.kill()

    @contextmanager
    def web(self) -> Iterator[psutil.Popen]:
        """A fresh web process that answers; the first is waited for until it has heard of the worker, too.

        Raises:
            RuntimeError: it doesn't start; the message holds what it printed.
        """
        with self.running("offload.serving") as process:
            if not answers(self.address + self._probe, PATIENCE, alive=lambda: process.poll() is None):
                raise RuntimeError(f"the service did not start:\n{self.log.read_text(errors='replace')[-4000:]}")
            self._probe = "/health/live"
            yield process


@contextmanager
def service() -> Iterator[Service]:
    """Everything but a web process."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        started = Service(folder.resolve())  # as the system names the files that a process has open
        stack.enter_context(started.running("offload.dev.valkey"))
        stack.enter_context(started.running("sandbox"))
        started.worker = stack.enter_context(started.running("offload.jobs", "-Q", "cpu", "-n", "cpu@%h"))
        yield started


def _fill() -> str:
    """Make the database; gives a token for its API."""
    import django

    django.setup()
    from django.contrib.auth.models import Group
    from django.core.management import call_command

    from benchmarks.views import OWNER
    from offload.access.models import ApiToken

    call_command("migrate", verbosity=0)
    Group.objects.bulk_create([Group(name=f"group {number}") for number in range(GROUPS)])
    return ApiToken.make(OWNER)[1]
