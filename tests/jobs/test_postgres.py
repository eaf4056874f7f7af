"""The same promises on PostgreSQL: what hangs on rows and locks, again, with a server that is
restarted under it.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import HERE, ROOT, free_port

AGAIN = (
    "killed_worker_process or killed_worker_costs or wakes or hands_a_long_job_back or divided_job "
    "or one_failed_part or fails_for_good or unique or same_key or periodic or restarted_database "
    "or inside_a_transaction or is_kept_for or acknowledged or when_the_function_returns "
    "or share_their_processes or stays_away or no_database_takes or any_number_and_text "
    "or test_contention or test_families or test_submit or pages_of_a_list or no_database_can "
    "or long_request or frozen_database or test_listing or test_checkpoints "
    "or test_failed_parts or test_followers or test_schedules or test_maintenance or test_scale "
    "or test_by_hand or test_pauses or test_start_times "
    "or test_spool or test_statements or test_pgbouncer "
    "or totals_are_what "
    "or test_limits or counts_the_owners or small_owners_first or tenth_of_what or test_pairs"
)


def _programs() -> Path | None:
    found = shutil.which("pg_ctl")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    return Path(found).parent if found else versions[-1].parent if versions else None


def postgresql_or_skip() -> Path:
    """The folder of PostgreSQL's programs."""
    programs = _programs()
    if programs is None:
        if os.environ.get("REQUIRE_POSTGRES"):
            pytest.fail("REQUIRE_POSTGRES is set and there is no PostgreSQL on this machine")
        pytest.skip("NO POSTGRESQL ON THIS MACHINE: jobs were tried on SQLite alone")
    return programs


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


@pytest.mark.timeout(1200)
@pytest.mark.skipif("LAB_DATABASE_URL" in os.environ, reason="this is the run on PostgreSQL")
def test_postgresql_keeps_the_same_promises() -> None:
    outside = {
        name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"
    }
    again = [sys.executable, "-m", "pytest", HERE, "-q", "-k", AGAIN, "-p", "no:cacheprovider"]
    with server(postgresql_or_skip()) as database:
        ran = subprocess.run(
            again, cwd=ROOT, env=outside | database, capture_output=True, text=True, check=False
        )
    print(ran.stdout[-300:])
    assert ran.returncode == 0, ran.stdout
