"""A PostgreSQL server of the tests' own, which can be frozen, stopped and started."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_given_ports: set[int] = set()
# Each keeps a port from other test runs until this process ends, also while no server listens.
_reservations: list[socket.socket] = []


def free_port() -> int:
    """A port that nobody listens on, and that no test run on this machine was given.

    It is below the ports that the system gives to clients (from 32768 on Linux): no connection
    takes it before its server starts, or while that is restarted.
    """
    while True:
        port = random.randrange(20_000, 32_768)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            if port not in _given_ports:
                _reserve(port)
                _given_ports.add(port)
                return port


def _reserve(port: int) -> None:
    """Take a name for the port that one process can have at a time.

    It is an address in Linux' abstract namespace (unix(7)): no file, and gone with its process.
    Elsewhere two test runs may be given the same port.

    Raises:
        OSError: another test run has it.
    """
    if sys.platform != "linux":
        return
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0offload-tests-{port}")
    except OSError:
        name.close()
        raise
    _reservations.append(name)


def find_programs() -> Path | None:
    """The folder of PostgreSQL's programs; None where it is not installed."""
    found = shutil.which("pg_ctl")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    # A link to one of them does not have the others beside it.
    return Path(found).resolve().parent if found else versions[-1].parent if versions else None


def programs_or_skip(untried: str) -> Path:
    """The folder of PostgreSQL's programs.

    Without them the tests are skipped, or fail where `REQUIRE_POSTGRES` is set.

    Args:
        untried: what nobody has tried then.
    """
    programs = find_programs()
    if programs is None:
        if os.environ.get("REQUIRE_POSTGRES"):
            pytest.fail("REQUIRE_POSTGRES is set and there is no PostgreSQL on this machine")
        pytest.skip(f"NO POSTGRESQL ON THIS MACHINE: {untried}")
    return programs


class Postgres:
    """A server that runs.

    Attributes:
        port: on 127.0.0.1.
        url: of its database, which is empty.
    """

    def __init__(self, programs: Path, port: int, options: str) -> None:
        self.port = port
        self.url = f"postgres://lab@127.0.0.1:{port}/postgres"
        # PostgreSQL refuses to run as root; its package brings a user for it.
        self._user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        made = subprocess.check_output(
            [*self._user, "mktemp", "-d", "-p", "/tmp"], text=True, cwd="/"
        )
        self.folder = Path(made.strip())
        self._options = f"-p {port} -h 127.0.0.1 -k {self.folder} {options}"
        data, log = str(self.folder / "data"), str(self.folder / "log")
        # Seconds for a start after a crash, beside other work.
        patience = ["-w", "-t", "300"]
        self._control = [str(programs / "pg_ctl"), "-D", data, *patience, "-l", log]
        initdb = [str(programs / "initdb"), "-D", data, "-U", "lab", "--auth=trust", "--no-sync"]
        self._run(initdb)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that tell the lab of the tests of jobs about this server."""
        restart = [*self._user, *self._control, "-m", "immediate", "restart"]
        return {
            "LAB_DATABASE_URL": self.url,
            "LAB_DATABASE_RESTART": " ".join(restart),
            "LAB_DATABASE_FOLDER": str(self.folder / "data"),
        }

    def start(self) -> None:
        """Start the server."""
        self._run([*self._control, "-o", self._options, "start"])

    def stop(self) -> None:
        """End the server and its connections at once."""
        self._run([*self._control, "-m", "immediate", "stop"])

    def freeze(self) -> None:
        """Stop the server and all its processes where they are."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def _run(self, command: list[str]) -> None:
        subprocess.run([*self._user, *command], check=True, stdout=subprocess.DEVNULL, cwd="/")

    def _signal(self, number: int) -> None:
        main = int((self.folder / "data/postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        for pid in (main, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


@contextmanager
def postgres_server(programs: Path, port: int = 0, options: str = "") -> Iterator[Postgres]:
    """A new server with an empty database.

    Args:
        port: a free one where it is 0.
        options: more of the server's, such as `-c fsync=off`.
    """
    server = Postgres(programs, port or free_port(), options)
    try:
        server.start()
        yield server
    finally:
        with suppress(FileNotFoundError, subprocess.CalledProcessError):
            server.thaw()
            server.stop()
        shutil.rmtree(server.folder, ignore_errors=True)
