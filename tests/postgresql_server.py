"""A PostgreSQL server of the tests' own."""

import os
import random
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_given_ports: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on, another one at each call.

    It is below the ports that the system gives to clients (from 32768 on Linux): no connection
    takes it before its server starts, or while that is restarted.
    """
    while True:
        port = random.randrange(20_000, 32_768)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            if port not in _given_ports:
                _given_ports.add(port)
                return port


def find_programs() -> Path | None:
    """The folder of PostgreSQL's programs; None where it is not installed."""
    found = shutil.which("pg_ctl")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    # A link to one of them does not have the others beside it.
    return Path(found).resolve().parent if found else versions[-1].parent if versions else None


@contextmanager
def server(programs: Path, port: int = 0) -> Iterator[dict[str, str]]:
    """A PostgreSQL server of its own; the environment variables that tell the lab about it.

    Its port is free, or `port`.
    """
    # PostgreSQL refuses to run as root; its package brings a user for it.
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder = subprocess.check_output(
        [*user, "mktemp", "-d", "-p", "/tmp"], text=True, cwd="/"
    ).strip()
    port = port or free_port()

    def run(*command: str) -> None:
        subprocess.run([*user, *command], check=True, stdout=subprocess.DEVNULL, cwd="/")

    # Seconds for a start after a crash, beside other work.
    patience = ["-w", "-t", "300"]
    control = [str(programs / "pg_ctl"), "-D", f"{folder}/data", *patience, "-l", f"{folder}/log"]
    run(str(programs / "initdb"), "-D", f"{folder}/data", "-U", "lab", "--auth=trust")
    run(*control, "-o", f"-p {port} -h 127.0.0.1 -k {folder}", "start")
    try:
        yield {
            "LAB_DATABASE_URL": f"postgres://lab@127.0.0.1:{port}/postgres",
            "LAB_DATABASE_RESTART": " ".join([*user, *control, "-m", "immediate", "restart"]),
            "LAB_DATABASE_FOLDER": f"{folder}/data",
        }
    finally:
        run(*control, "-m", "immediate", "stop")
        run("rm", "-r", folder)
