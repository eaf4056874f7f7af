"""A PostgreSQL server of the tests' own."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def free_port() -> int:
    """A port of this host that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def find_programs() -> Path | None:
    """The folder of PostgreSQL's programs; None where it is not installed."""
    found = shutil.which("pg_ctl")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    return Path(found).parent if found else versions[-1].parent if versions else None


@contextmanager
def server(programs: Path) -> Iterator[dict[str, str]]:
    """A PostgreSQL server of its own; the environment variables that tell the lab about it."""
    # PostgreSQL refuses to run as root; its package brings a user for it.
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder = subprocess.check_output([*user, "mktemp", "-d"], text=True, cwd="/").strip()
    port = free_port()

    def run(*command: str) -> None:
        subprocess.run([*user, *command], check=True, stdout=subprocess.DEVNULL, cwd="/")

    control = [str(programs / "pg_ctl"), "-D", f"{folder}/data", "-w", "-l", f"{folder}/log"]
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
