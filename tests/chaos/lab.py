"""The lab: a generated service on PostgreSQL and Valkey, with a worker, which can all be attacked.

Its web process and its worker write their logs into pipes, whose reader can stand still. They reach
PostgreSQL through a proxy, which can be slow. The names of their upstreams are asked of a name
server that never answers.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import redis
from postgresql_server import Postgres, free_port
from serving_tests import (
    SERVICE,
    START_TIMEOUT_SECONDS,
    TIMEOUT_SECONDS,
    Server,
    eventually,
    web_process,
)

HERE = Path(__file__).resolve().parent
# The smallest pipe that Linux makes, in bytes: it holds a dozen lines of a log.
PIPE_BYTES = 4096
# The jobs of an experiment end sooner than this.
JOBS_TIMEOUT_SECONDS = 90
FAULTS = (
    *("silent", "half_head", "endless_head", "drip", "too_short"),
    *("reset", "torn", "cut", "garbage", "mangled", "broken", "too_long", "loop"),
    *("huge", "endless", "bomb"),
)


class LogPipe:
    """A pipe whose reader copies a process's log into a file, and can stand still."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._may_read = threading.Event()
        self._may_read.set()
        file.touch()
        threading.Thread(target=self._copy, daemon=True).start()

    def _copy(self) -> None:
        with self.file.open("ab", buffering=0) as file:
            while data := os.read(self.reader, PIPE_BYTES):
                file.write(data)
                self._may_read.wait()

    @contextmanager
    def unread(self) -> Iterator[None]:
        """Nobody reads the pipe while the block runs."""
        self._may_read.clear()
        try:
            yield
        finally:
            self._may_read.set()


class Lab:
    """The service's processes.

    Attributes:
        web: the web process that is attacked.
        worker: the worker, with two processes that compute.
    """

    def __init__(self, folder: Path, service: Path, postgres: Postgres, token: str) -> None:
        self.folder = folder
        self.service = service
        self.postgres = postgres
        self.token = token
        self.redis_port = free_port()
        self.upstream_port = free_port()
        self.proxy_port = free_port()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.web_log = LogPipe(folder / "web.log")
        self.worker_log = LogPipe(folder / "worker.log")
        self.web: Server
        self.worker: Server
        self.environment = {
            "DATABASE_URL": f"postgres://lab@127.0.0.1:{self.proxy_port}/postgres",
            "REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            "DJANGO_SETTINGS_MODULE": "lab_project.settings",
            "PYTHONPATH": f"{HERE}:{HERE.parent / 'production_packages'}",
            "WORKER_NICE": "0",
            "WORKER_GRACE": "1",
            "LAB_UPSTREAM": f"http://127.0.0.1:{self.upstream_port}",
            "LAB_FAULTS": " ".join(FAULTS),
        }

    # --- processes ---

    def start(self, name: str, *command: str, **more: Any) -> "subprocess.Popen[bytes]":
        """Start a process, whose output goes to a file."""
        with (self.folder / f"{name}.log").open("ab") as log:
            options: dict[str, Any] = {"stdout": log, "stderr": log, "cwd": self.service, **more}
            options["env"] = os.environ | options.get("env", {})
            process = subprocess.Popen(command, start_new_session=True, **options)
        self.processes[name] = process
        return process

    def start_proxy(self) -> None:
        """The proxy before PostgreSQL."""
        ports = (str(self.proxy_port), str(self.postgres.port))
        self.start("proxy", sys.executable, str(HERE.parent / "jobs" / "proxy.py"), *ports)

    def start_upstream(self) -> None:
        """The upstream that fails in every way."""
        path = {"PYTHONPATH": str(SERVICE)}
        server = str(HERE.parent / "fanout" / "chaos.py")
        self.start("upstream", sys.executable, server, str(self.upstream_port), env=path)

    def start_redis(self) -> None:
        """A Valkey without data. The first one waits for nobody."""
        from offload_dev.launcher.embedded_valkey import command

        self.start("redis", *command(self.redis_port))
        eventually(self.redis_answers, "Valkey")

    def redis_answers(self) -> bool:
        """Whether Valkey is there."""
        with suppress(redis.RedisError), redis.Redis(port=self.redis_port, socket_timeout=1) as it:
            return bool(it.ping())
        return False

    def start_worker(self) -> Server:
        """`python -m offload.jobs` with two processes that compute."""
        command = (sys.executable, "-m", "offload.jobs", "-Q", "cpu,default", "-c", "2")
        process = self.start(
            "worker",
            *command,
            stdout=self.worker_log.writer,
            stderr=self.worker_log.writer,
            env=self.environment,
        )
        return Server(process, 0, self.worker_log.file)

    @contextmanager
    def started_web(
        self, *arguments: str, before: Sequence[str] = (), **more: Any
    ) -> Iterator[Server]:
        """One more web process."""
        command = [*before, sys.executable, "-m", "offload.serving", *arguments]
        with web_process(
            self.service,
            self.folder,
            self.token,
            self.environment | {name: value for name, value in more.items() if name == "PORT"},
            more.get("stderr"),
            command,
        ) as server:
            yield server

    def kill(self, name: str) -> None:
        """End a process at once, and all that it started."""
        process = self.processes[name]
        for number in (signal.SIGCONT, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        process.wait(TIMEOUT_SECONDS)

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a process."""
        self.processes[name].send_signal(number)

    # --- what a client asks ---

    def get(self, path: str) -> httpx.Response:
        """GET, with a token, on a connection of its own."""
        return self.web.get(path, headers={"Authorization": f"Bearer {self.token}"})

    def ready(self) -> tuple[int, dict[str, Any]]:
        """What `/health/ready` says: the status, and the report."""
        answer = self.get("/health/ready")
        return answer.status_code, answer.json()

    # --- jobs ---

    def states_of(self, job_ids: Sequence[str]) -> list[str]:
        """The states of these jobs, as their rows say."""
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            rows = connection.execute(
                "SELECT status FROM offload_job WHERE id = ANY(%s::uuid[])", [list(job_ids)]
            )
            return [status for (status,) in rows]

    def lost(self, job_ids: Sequence[str]) -> int:
        """How many of these jobs did not succeed, after some time for them."""

        def ended() -> bool:
            states = self.states_of(job_ids)
            return len(states) == states.count("succeeded") + states.count("failed")

        eventually(ended, "the end of the jobs", JOBS_TIMEOUT_SECONDS)
        return len(job_ids) - self.states_of(job_ids).count("succeeded")


class Submitter:
    """Submits jobs again and again, in a thread, and knows those that were accepted."""

    def __init__(self, lab: Lab, interval: float = 0.05) -> None:
        self.lab = lab
        self.interval = interval
        self.job_ids: list[str] = []
        self.refused: list[int] = []
        self.longest = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Submitter":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(self.interval):
            answer = self.lab.get("/api/nap")
            self.longest = max(self.longest, answer.elapsed.total_seconds())
            if answer.status_code == 202:
                self.job_ids.append(json.loads(answer.text)["id"])
            else:
                self.refused.append(answer.status_code)


@contextmanager
def opened(lab: Lab, before: Sequence[str]) -> Iterator[Lab]:
    """The lab with all its processes. `before` is a command that becomes the web process."""
    with ExitStack() as stack:
        stack.callback(lambda: [lab.kill(name) for name in lab.processes])
        lab.start_proxy()
        lab.start_upstream()
        lab.start_redis()
        lab.worker = lab.start_worker()
        lab.web = stack.enter_context(
            lab.started_web("--drain", "0", before=before, stderr=lab.web_log.writer)
        )
        lab.web.log = lab.web_log.file
        eventually(lambda: lab.ready()[1].get("worker"), "the worker", START_TIMEOUT_SECONDS)
        yield lab
