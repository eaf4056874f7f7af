"""A PostgreSQL of the tests' own, which can be frozen, stopped and started."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from conftest import free_port


def programs() -> Path:
    """The folder of `pg_ctl`. Without one the test is skipped, or fails where it is required."""
    found = shutil.which("pg_ctl")
    if found:
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if versions:
        return versions[-1].parent
    if os.environ.get("REQUIRE_POSTGRES"):
        pytest.fail("REQUIRE_POSTGRES is set and there is no PostgreSQL on this machine")
    pytest.skip("NO POSTGRESQL ON THIS MACHINE: time limits of the database were not tried")


class Postgres:
    """One running server."""

    def __init__(self, folder: Path, user: list[str], binaries: Path) -> None:
        self.folder = folder
        self.user = user
        self.binaries = binaries
        self.port = free_port()
        self.url = f"postgres://lab@127.0.0.1:{self.port}/postgres"

    def run(self, *command: str) -> None:
        """A program of PostgreSQL, which refuses to run as root."""
        subprocess.run(
            [*self.user, str(self.binaries / command[0]), *command[1:]],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
        )

    def start(self, max_connections: int = 60) -> None:
        """Start the server."""
        options = (
            f"-p {self.port} -h 127.0.0.1 -k {self.folder} -N {max_connections}"
            " -c fsync=off -c superuser_reserved_connections=0"
        )
        data, log = str(self.folder / "data"), str(self.folder / "log")
        self.run("pg_ctl", "-D", data, "-w", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        """End the server and its connections at once."""
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-m", "immediate", "stop")

    def freeze(self) -> None:
        """Stop the server and all its processes where they are."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def connections(self) -> int:
        """How many clients are connected."""
        found = 0
        for pid in self._processes():
            with suppress(FileNotFoundError):
                # Such as "postgres: lab postgres 127.0.0.1(40000) idle".
                found += b"127.0.0.1(" in Path(f"/proc/{pid}/cmdline").read_bytes()
        return found

    def _signal(self, number: int) -> None:
        for pid in self._processes():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _processes(self) -> list[int]:
        main = int((self.folder / "data/postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        return [main, *map(int, children)]


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """A new server with an empty database."""
    binaries = programs()
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder = Path(
        subprocess.check_output([*user, "mktemp", "-d", "-p", "/tmp"], text=True, cwd="/").strip()
    )
    server = Postgres(folder, user, binaries)
    server.run("initdb", "-D", str(folder / "data"), "-U", "lab", "--auth=trust", "--no-sync")
    server.start()
    try:
        yield server
    finally:
        with suppress(FileNotFoundError, subprocess.CalledProcessError):
            server.thaw()
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
