"""A laboratory: a baked project with jobs of its own, and real processes to start, stop, freeze and
kill.

The test process is a shell to it: it has the project's settings and database, and no relay of its
own.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from postgresql_server import free_port
from waiting import wait_until

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PACKAGES = HERE.parent / "production_packages"
# A worker renews three times in this time. It may be stopped for 3 s, and keeps its jobs.
LEASE = 6.0

SETTINGS = f"""
import dataclasses
import os
INSTALLED_APPS = [*INSTALLED_APPS, "labyrinth.lab"]
OFFLOAD = dataclasses.replace(
    OFFLOAD,
    lease=float(os.environ.get("LAB_LEASE", {LEASE})),
    worker_silence=30.0,
    result_limit=100_000,
    login_check=0.5,
    queue_depth=int(os.environ.get("LAB_QUEUE_DEPTH", OFFLOAD.queue_depth)),
    streams_per_owner=int(os.environ.get("LAB_STREAMS_PER_OWNER", OFFLOAD.streams_per_owner)),
    write_timeout=float(os.environ.get("LAB_WRITE_TIMEOUT", OFFLOAD.write_timeout)),
)
"""

_folder = Path(tempfile.mkdtemp(prefix="offload-lab-"))
_project = _folder / "labyrinth"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These tests wait for many processes, on machines that other work keeps busy."""
    for item in items:
        if item.path.is_relative_to(HERE) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(900))


def _make_project() -> None:
    bin_path = Path(sys.executable).parent / "cookiecutter"
    # Without the packages of Channels the tests of WebSockets are skipped, and say so.
    websockets = "yes" if find_spec("channels") else "no"
    answers = ["project_name=Labyrinth", "example=no", "ci=none", f"websockets={websockets}"]
    subprocess.run(
        [bin_path, ROOT, "--no-input", "-o", _folder, *answers],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    shutil.rmtree(_project / "offload")
    (_project / "offload").symlink_to(ROOT / "{{cookiecutter.project_slug}}" / "offload")
    lab = _project / "labyrinth" / "lab"
    lab.mkdir()
    (lab / "__init__.py").touch()
    for file in HERE.glob("lab_*.py"):
        shutil.copy(file, lab / file.name.removeprefix("lab_"))
    with (_project / "config" / "settings.py").open("a") as settings:
        settings.write(SETTINGS)
    urls = _project / "config" / "urls.py"
    route = (
        "from labyrinth.lab.api import router  # noqa\n\n"
        "api.add_router('/lab', router)\n\nurlpatterns ="
    )
    urls.write_text(urls.read_text().replace("urlpatterns =", route))


def pytest_configure() -> None:
    import django

    _make_project()
    sys.path.insert(0, str(_project))
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PORT": str(free_port()),
        "LOG_LEVEL": "WARNING",
    }
    os.environ |= {
        "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "WORKER_GRACE": "1",
        "WORKER_NICE": "0",
    }
    os.environ["DATABASE_URL"] = os.environ.get(
        "LAB_DATABASE_URL", f"sqlite:///{_folder / 'lab.sqlite3'}"
    )
    sys.dont_write_bytecode = True
    django.setup()


def pytest_unconfigure() -> None:
    shutil.rmtree(_folder, ignore_errors=True)


class Lab:
    """Processes of the service, each in a session of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Jobs that were submitted with `gate=str(lab.gate)` end when there is this file.
        self.gate = folder / "gate"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.port = int(os.environ["PORT"])
        self.redis_port = int(os.environ["REDIS_URL"].rsplit(":", 1)[1].split("/")[0])
        self.address = f"http://127.0.0.1:{self.port}"

    def start(self, name: str, *command: str, **environment: str) -> "subprocess.Popen[bytes]":
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=_project,
                env=os.environ | {"PYTHONPATH": str(PACKAGES)} | environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes[name] = process
        return process

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def redis(self, *options: str) -> "subprocess.Popen[bytes]":
        from offload_dev.launcher.embedded_valkey import command

        process = self.start("redis", *command(self.redis_port), *options)
        self.until(self.redis_answers, "Redis to answer")
        return process

    def proxy(self, *mode: str) -> str:
        """A proxy before Redis; its URL."""
        port = free_port()
        self.start(
            "proxy", sys.executable, str(HERE / "proxy.py"), str(port), str(self.redis_port), *mode
        )
        return f"redis://127.0.0.1:{port}/0"

    def redis_client(self) -> Any:
        import redis

        return redis.Redis(port=self.redis_port, socket_timeout=30)

    def messages(self, queue: str) -> int:
        """How many messages wait in a queue, in all its steps."""
        # kombu's names: `cpu` is step 0, and `cpu\x06\x163` is step 3.
        steps = ["", *(f"\x06\x16{step}" for step in range(1, 10))]
        with self.redis_client() as client:
            return sum(client.llen(f"labyrinth:{queue}{step}") for step in steps)

    def redis_answers(self) -> bool:
        import redis

        # Closed here, and not by the garbage collector, which may come to the socket first.
        try:
            with self.redis_client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def worker(
        self, name: str = "worker", slots: int = 2, wait: bool = True, **environment: str
    ) -> Any:
        from offload.jobs.models import Worker

        before = list(Worker.objects.values_list("pk", flat=True))
        options = ("-Q", "cpu,default", "-c", str(slots), "-n", f"{name}@lab")
        process = self.start(name, sys.executable, "-m", "offload.jobs", *options, **environment)
        if wait:
            mine = Worker.objects.filter(name=f"{name}@lab").exclude(pk__in=before)
            self.until(mine.exists, f"{name} to say that it is there")
        return process

    def web(self, **environment: str) -> Any:
        import httpx

        process = self.start(
            "web", sys.executable, "-m", "offload.serving", "--drain", "0", **environment
        )

        def answers() -> bool:
            return httpx.get(f"{self.address}/health/live", trust_env=False).status_code == 200

        self.until(answers, "the web process to answer")
        return process

    def kill(self, name: str, number: int = signal.SIGKILL, group: bool = True) -> None:
        process = self.processes[name]
        (os.killpg if group else os.kill)(process.pid, number)
        if number not in (signal.SIGSTOP, signal.SIGCONT):
            process.wait(60)

    def children(self, name: str) -> list[int]:
        pid = self.processes[name].pid
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]

    def until(self, condition: Any, what: str, patience: float = 100) -> Any:
        return wait_until(condition, what, patience, logs=self._logs)

    def _logs(self) -> str:
        paths = sorted(self.folder.glob("*.log"))
        return "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in paths)

    def submit(
        self,
        kind: str,
        owner: str = "lab",
        then: Sequence[str] = (),
        on_end: str | None = None,
        **params: Any,
    ) -> Any:
        """A job submitted as a shell would; its log counts its executions."""
        from offload.jobs import submit_sync
        from offload.jobs.declare import find_job_type

        found = find_job_type(kind)
        if "log" in found.params.model_fields:
            params.setdefault("log", str(self.folder / f"executions-{time.monotonic_ns()}"))
        return submit_sync(
            found,
            found.params(**params),
            owner=owner,
            then=[find_job_type(each) for each in then],
            on_end=find_job_type(on_end) if on_end else None,
        )

    def executions(self, job: Any, line: str = "start") -> int:
        path = Path(job.params["log"])
        return (
            sum(text.startswith(line) for text in path.read_text().splitlines())
            if path.exists()
            else 0
        )

    def reaches(self, job: Any, *states: str, patience: float = 100) -> Any:
        """The job's row, once it is in one of these states."""
        from offload.jobs.models import Job

        def there() -> Any:
            row = Job.objects.get(pk=job.pk)
            return row if row.status in states else None

        return self.until(there, f"{job.kind} to be {' or '.join(states)}", patience)

    def computes(self, job: Any) -> Any:
        """The job's row, once its function has begun."""
        self.until(lambda: self.executions(job), f"{job.kind} to begin")
        return self.reaches(job, "running", "succeeded")

    def end(self) -> None:
        for process in self.processes.values():
            for number in (signal.SIGCONT, signal.SIGKILL):
                try:
                    os.killpg(process.pid, number)
                except ProcessLookupError:
                    break
            process.wait(60)


@pytest.fixture(scope="session", autouse=True)
def _database(django_db_blocker: Any) -> Iterator[None]:
    from django.core.management import call_command

    with django_db_blocker.unblock():
        call_command("migrate", verbosity=0)
        yield


def new_lab(folder: Path) -> Iterator[Lab]:
    """A lab, and at the end its processes and rows are removed."""
    from django.contrib.auth.models import Group

    from offload.access.models import ApiToken
    from offload.jobs.models import Job, Leader, Pause, ResultFile, RunLimitKey, Schedule, Worker

    made = Lab(folder)
    try:
        yield made
    finally:
        made.end()
        rows = (Job, ResultFile, RunLimitKey, Schedule, Worker, Leader, Pause, ApiToken, Group)
        for model in rows:
            model.objects.all().delete()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    yield from new_lab(tmp_path)


@pytest.fixture
def running(lab: Lab) -> Lab:
    """The lab with Redis and one worker of two slots."""
    lab.redis()
    lab.worker()
    return lab


def publish_patiently(lab: Lab, broker: Any, messages: list[Any]) -> None:
    """Publish each of these messages, also where the broker is slow for a moment."""
    for message in messages:
        lab.until(lambda message=message: broker.publish([message]), "the broker to take it")


def execute(job: Any, worker: Any = None, table: Any = None) -> str:
    """Execute a job in this process, as a worker's process does."""
    from offload.jobs.declare import find_job_type
    from offload.jobs.worker import executor
    from offload.jobs.worker.assignments import Assignments

    slot, spooler = (table or Assignments(1)).slot(), _spooler_of(os.getpid())
    return executor.execute(find_job_type(job.kind), job.pk, worker or uuid4(), slot, spooler)


@cache
def _spooler_of(pid: int) -> Any:
    """One for all jobs of a process, as in a worker: each has a thread, which no fork copies."""
    from offload.jobs.worker.kept_end import Spooler
    from offload.jobs.worker.spool import Spool

    return Spooler(Spool(_folder / "spool"))
