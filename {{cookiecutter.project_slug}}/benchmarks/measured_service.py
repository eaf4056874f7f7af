"""The real service, on ports and a database of its own: broker, stand-ins, worker, and several web
processes.
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

from offload_dev.launcher.ports import answers, free_ports

# Seconds for a start.
PATIENCE = 60.0
# Rows that the ORM's work queries.
GROUPS = 100


@dataclass(frozen=True)
class Web:
    """A web process, and where it answers."""

    process: psutil.Popen
    address: str

    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None


class Service:
    """What runs: a `token` for its API, the `database` file, the `worker`'s main process, the
    `webs` by name.
    """

    def __init__(self, folder: Path, webs: Sequence[str]) -> None:
        # Of the settings (web, Flower, sandbox, broker), and one a web process.
        first = free_ports(4 + len(webs))
        self.ports = dict(zip(webs, range(first + 4, first + 4 + len(webs)), strict=True))
        self.database = folder / "db.sqlite3"
        self.log = folder / "service.log"
        self.worker: psutil.Popen
        self.webs: dict[str, Web]
        os.environ.update(
            PORT=str(first),
            DATABASE_URL=f"sqlite:///{self.database}",
            DJANGO_SETTINGS_MODULE="benchmarks.settings",
            WORKER_GRACE="1",
            DEBUG="0",
            LOG_LEVEL="INFO",
        )
        # They follow the port.
        for name in ("REDIS_URL", "FLOWER_PORT", "SANDBOX_PORT"):
            os.environ.pop(name, None)
        self.token = _fill()

    @contextmanager
    def running(self, module: str, *arguments: str) -> Iterator[psutil.Popen]:
        """A process of the service: `python -m module`."""
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
            process.terminate()
            try:
                with suppress(psutil.TimeoutExpired):
                    process.wait(20)
            finally:
                # Of whoever loses patience with Ctrl-C, too.
                if process.is_running():
                    process.kill()

    def start(self, stack: ExitStack) -> None:
        """Broker, stand-ins, worker and web processes: all start at once, and then answer.

        Raises:
            RuntimeError: one doesn't start; the message holds what was printed.
        """
        stack.enter_context(self.running("offload_dev.launcher.valkey"))
        stack.enter_context(self.running("sandbox"))
        self.worker = stack.enter_context(self.running("offload.jobs", "-Q", "cpu", "-n", "cpu@%h"))
        self.webs = {}
        for name, port in self.ports.items():
            process = stack.enter_context(self.running("offload.serving", "--port", str(port)))
            self.webs[name] = Web(process, f"http://127.0.0.1:{port}")
        for web in self.webs.values():
            if not answers(web.address + "/health/ready", PATIENCE, web.runs):
                raise RuntimeError(
                    f"the service did not start:\n{self.log.read_text(errors='replace')[-4000:]}"
                )


@contextmanager
def service(webs: Sequence[str]) -> Iterator[Service]:
    """A running service with web processes of these names."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # As the system names the files that a process has open.
        started = Service(folder.resolve(), webs)
        started.start(stack)
        try:
            yield started
        finally:
            # All at once, and then the stack waits for each.
            for web in started.webs.values():
                web.process.terminate()


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
