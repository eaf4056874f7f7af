"""The same promises on PostgreSQL: what hangs on rows and locks, again, with a server that is
restarted under it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import HERE, ROOT, free_port

AGAIN = (
    "killed_worker_process or killed_worker_costs or wakes or hands_a_long_job_back or divided_job "
    "or one_failed_part or fails_for_good or unique or same_key or periodic or restarted_database "
    "or inside_a_transaction or is_kept_for"
)


def _programs() -> Path | None:
    found = shutil.which("pg_ctl")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    return Path(found).parent if found else versions[-1].parent if versions else None


@pytest.mark.timeout(400)
@pytest.mark.skipif("LAB_DATABASE_URL" in os.environ, reason="this is the run on PostgreSQL")
def test_postgresql_keeps_the_same_promises() -> None:
    programs = _programs()
    if programs is None:
        if os.environ.get("REQUIRE_POSTGRES"):
            pytest.fail("REQUIRE_POSTGRES is set and there is no PostgreSQL on this machine")
        pytest.skip("NO POSTGRESQL ON THIS MACHINE: jobs were tried on SQLite alone")
    # PostgreSQL refuses to run as root; its package brings a user for it.
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder = Path(subprocess.check_output([*user, "mktemp", "-d"], text=True, cwd="/").strip())
    port = free_port()
    server = [
        *user,
        str(programs / "pg_ctl"),
        "-D",
        str(folder / "data"),
        "-w",
        "-l",
        str(folder / "log"),
    ]
    options = ["-o", f"-p {port} -h 127.0.0.1 -k {folder}"]
    outside = {
        name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"
    }
    environment = outside | {
        "LAB_DATABASE_URL": f"postgres://lab@127.0.0.1:{port}/postgres",
        "LAB_DATABASE_RESTART": " ".join([*server, "-m", "immediate", "restart"]),
    }
    initdb = [*user, programs / "initdb", "-D", folder / "data", "-U", "lab", "--auth=trust"]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd="/")
    subprocess.run([*server, *options, "start"], check=True, stdout=subprocess.DEVNULL, cwd="/")
    try:
        again = [sys.executable, "-m", "pytest", HERE, "-q", "-k", AGAIN, "-p", "no:cacheprovider"]
        ran = subprocess.run(
            again, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
    finally:
        subprocess.run(
            [*server, "-m", "immediate", "stop"], check=True, stdout=subprocess.DEVNULL, cwd="/"
        )
        subprocess.run([*user, "rm", "-r", folder], check=True, cwd="/")
    print(ran.stdout[-300:])
    assert ran.returncode == 0, ran.stdout
