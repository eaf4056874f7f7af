"""Real servers for the serving room's tests.

Two variables of the environment turn parts off: `OFFLOAD_LEAN=0` puts Django's stock handler in,
and `OFFLOAD_FAST=0` leaves out what only saves microseconds (`offload/serving/fast`).
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
from cookiecutter.main import cookiecutter
from postgresql_server import Postgres, free_port, postgres_server, programs_or_skip
from waiting import wait_until

HERE = Path(__file__).resolve().parent
# For tests that use Django in their own process.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "serving_project.settings")
SERVICE = HERE.parent.parent / "{{cookiecutter.project_slug}}"
LEAN = os.environ.get("OFFLOAD_LEAN", "1") == "1"
FAST = os.environ.get("OFFLOAD_FAST", "1") == "1"
lean = pytest.mark.skipif(not LEAN, reason="the lean handler's own: stock Django does otherwise")
once = pytest.mark.skipif(
    not (LEAN and FAST), reason="on a generated service, which has its own settings: tried once"
)
# Anything that a test waits for happens sooner than this.
TIMEOUT_SECONDS = 30
# A process imports for 2 s; on a busy machine it has a fiftieth of a core.
START_TIMEOUT_SECONDS = 200


class Server:
    """A running web process."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.log = log
        self.url = f"http://127.0.0.1:{port}"
        # Of a generated service.
        self.token = ""
        self.environment: dict[str, str] = {}

    def get(self, path: str, **more: object) -> httpx.Response:
        """GET, on a connection of its own."""
        # To read the system's certificates takes 25 ms of CPU, and nothing here is TLS.
        options: dict[str, Any] = {"timeout": TIMEOUT_SECONDS, "verify": False, **more}
        return httpx.get(self.url + path, **options)

    def head(self, path: str) -> httpx.Response:
        """HEAD, on a connection of its own."""
        return httpx.head(self.url + path, timeout=TIMEOUT_SECONDS, verify=False)

    def facts(self) -> dict[str, int]:
        """What the test project's views counted."""
        found: dict[str, int] = self.get("/api/facts").json()
        return found

    def metric(self, name: str) -> float:
        """One number from /metrics."""
        for line in self.get("/metrics").text.splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        return 0.0

    def threads(self) -> int:
        """The number of threads of the process, as the kernel counts them."""
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def connections(self) -> int:
        """The number of database connections: open handles on the database file."""
        handles = Path(f"/proc/{self.process.pid}/fd")
        found = 0
        for handle in handles.iterdir():
            # A handle may have been closed since it was listed.
            with suppress(FileNotFoundError):
                found += os.readlink(handle).endswith("serving.sqlite3")
        return found

    def says(self, text: str) -> None:
        """Wait until the log has this text: a line is written a moment after its response."""
        eventually(lambda: text in self.log.read_text(), f"{text} in the log")

    def stop(self) -> int:
        """Send a SIGTERM, and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(TIMEOUT_SECONDS)


def eventually(
    holds: "Holds", what: str, seconds: float = TIMEOUT_SECONDS, logs: Callable[[], str] = str
) -> None:
    """Wait until something holds. A failure shows the logs."""
    wait_until(holds, what, seconds, every=0.02, logs=logs)


def small_postgres() -> AbstractContextManager[Postgres]:
    """A PostgreSQL of the tests' own, for few connections."""
    programs = programs_or_skip("time limits of the database were not tried")
    few = "-N 60 -c superuser_reserved_connections=0"
    return postgres_server(programs, options=f"{few} -c fsync=off")


def accepts(port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


class Holds(Protocol):
    """A question that is asked again and again."""

    def __call__(self) -> object: ...


class Serve(Protocol):
    """Starts a server: `serve("--grace", "1", SERVING_TEST_REQUESTS="5")`."""

    def __call__(self, *arguments: str, wait: bool = True, **environment: str) -> Server: ...


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a migrated database: seven groups and an administrator."""
    directory = tmp_path_factory.mktemp("serving")
    code = (
        "import django; django.setup(); from django.core.management import call_command; "
        "call_command('migrate', verbosity=0); "
        "call_command('flush', interactive=False, verbosity=0); "
        "from django.contrib.auth.models import Group, User; "
        "Group.objects.bulk_create(Group(name=str(n)) for n in range(7)); "
        "User.objects.create_superuser('ada', None, 'pw')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=environment(directory))
    return directory


def environment(directory: Path) -> dict[str, str]:
    """What a server of the test project needs."""
    return os.environ | {
        "PYTHONPATH": f"{SERVICE}:{HERE}:{HERE.parent / 'production_packages'}",
        "DJANGO_SETTINGS_MODULE": "serving_project.settings",
        "SERVING_TEST_DATA": str(directory),
    }


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated service: `config/` is a template here."""
    folder = tmp_path_factory.mktemp("service")
    return Path(cookiecutter(str(HERE.parent.parent), no_input=True, output_dir=str(folder)))


class Generated(Protocol):
    """Starts the web process of a generated service, without workers."""

    def __call__(
        self, stderr: int | None = None, **environment: str
    ) -> AbstractContextManager[Server]: ...


@pytest.fixture(scope="session")
def generated(service: Path, tmp_path_factory: pytest.TempPathFactory) -> Generated:
    """All these processes have one SQLite database, with a token of "ada" and a user "root"."""
    folder = tmp_path_factory.mktemp("generated")
    url = f"sqlite:///{folder / 'generated.sqlite3'}"
    token = migrate(service, url)

    def start(stderr: int | None = None, **more: str) -> AbstractContextManager[Server]:
        return web_process(service, folder, token, {"DATABASE_URL": url, **more}, stderr)

    return start


def migrate(service: Path, database_url: str) -> str:
    """Make the tables, a user "root" with the password "of-the-tests", and a token of "ada"."""
    code = (
        "import django; django.setup(); from django.core.management import call_command; "
        "from django.contrib.auth.models import User; "
        "from offload.access.models import ApiToken; "
        "call_command('migrate', verbosity=0); "
        "User.objects.create_superuser('root', None, 'of-the-tests'); "
        "print(ApiToken.make('ada')[1])"
    )
    env = os.environ | {"DATABASE_URL": database_url, "DJANGO_SETTINGS_MODULE": "config.settings"}
    made = subprocess.run(
        [sys.executable, "-c", code], check=True, env=env, cwd=service, capture_output=True
    )
    return made.stdout.decode().strip()


@contextmanager
def web_process(
    service: Path,
    folder: Path,
    token: str,
    more: dict[str, str],
    stderr: int | None = None,
    command: Sequence[str] = (sys.executable, "-m", "offload.serving"),
) -> Iterator[Server]:
    """`python -m offload.serving` in a generated service, killed at the end.

    Its log goes to a file in the folder, or to `stderr`. `more` may have a PORT.
    """
    port = int(more.get("PORT") or free_port())
    env = os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PORT": str(port),
        "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        **more,
    }
    log = folder / f"{port}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=service,
            env=env,
            stdout=out,
            stderr=out if stderr is None else stderr,
        )
    server = Server(process, port, log)
    server.token = token
    server.environment = env

    def is_up() -> bool:
        assert process.poll() is None, log.read_text()
        with suppress(httpx.TransportError):
            return server.get("/health/live").status_code == 200
        return False

    try:
        eventually(is_up, "the start", START_TIMEOUT_SECONDS)
        yield server
    finally:
        process.kill()
        process.wait()


@contextmanager
def running(
    directory: Path,
    arguments: tuple[str, ...],
    wait: bool,
    more: dict[str, str],
    before: Sequence[str] = (),
) -> Iterator[Server]:
    """A server, killed at the end. `before` is a command that becomes the server."""
    port = free_port()
    log = directory / f"{port}.log"
    command = [
        sys.executable,
        "-m",
        "offload.serving",
        "serving_project.asgi:application",
        "--port",
        str(port),
        "--drain",
        "0",
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*before, *command, *arguments],
            env=environment(directory) | more,
            stdout=out,
            stderr=subprocess.STDOUT,
            # A process group of its own, to which a test can send a Ctrl-C.
            start_new_session=True,
            cwd=HERE,
        )
        server = Server(process, port, log)
        try:
            if wait:
                eventually(
                    lambda: "Application startup complete" in log.read_text() or process.poll(),
                    "the start",
                    START_TIMEOUT_SECONDS,
                )
                assert process.poll() is None, log.read_text()
                # The server says so a moment before it listens.
                eventually(lambda: accepts(port), "the first connection")
            yield server
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture
def serve(directory: Path) -> Iterator[Serve]:
    """A server of the test's own."""
    with ExitStack() as servers:

        def start(*arguments: str, wait: bool = True, **more: str) -> Server:
            return servers.enter_context(running(directory, arguments, wait, more))

        yield start


@pytest.fixture(scope="session")
def server(directory: Path) -> Iterator[Server]:
    """One server for all the tests that leave it as it was."""
    with running(directory, (), True, {}) as server:
        yield server
