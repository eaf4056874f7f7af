"""The same promises on PostgreSQL: what hangs on rows and locks, again, with a server that is
restarted under it.
"""

import os
import re
import subprocess
import sys

import pytest
from postgresql_server import postgres_server, programs_or_skip

from .conftest import HERE, ROOT

SUITE = HERE.parent / "suite.py"
AGAIN = (
    "killed_worker_process or killed_worker_costs or wakes or hands_a_long_job_back or divided_job "
    "or one_failed_part or fails_for_good or unique or same_key or periodic or restarted_database "
    "or inside_a_transaction or is_kept_for or acknowledged or when_the_function_returns "
    "or message_of_another_type or share_their_processes or stays_away or no_database_takes "
    "or any_number_and_text "
    "or test_contention or test_families or test_submit or pages_of_a_list or no_database_can "
    "or long_request or frozen_database or test_listing or test_checkpoints "
    "or test_failed_parts or test_followers or test_schedules or test_maintenance or test_scale "
    "or test_by_hand or test_pauses or test_start_times or test_planned or test_session_login "
    "or over_the_socket or has_what_it_missed "
    "or test_spool or test_conflicts or test_saved_rows or test_statements or test_pgbouncer "
    "or test_operations.py or test_why_waiting or test_timeline "
    "or totals_are_what or one_trace_leads or handed_back_have_spans or near_request "
    "or place_of_its_error or unsampled_trace "
    "or test_doors or test_scaling "
    "or test_read_only or test_migrate_locks or test_turns or another_scope or an_old_worker "
    "or test_told_to_stop or test_left_behind or test_clock or test_index_operations "
    "or test_stalled_storage "
    "or test_limits or counts_the_owners or small_owners_first or tenth_of_what or test_pairs"
)


@pytest.mark.timeout(3000)
@pytest.mark.skipif("LAB_DATABASE_URL" in os.environ, reason="this is the run on PostgreSQL")
def test_postgresql_keeps_the_same_promises() -> None:
    outside = {
        name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"
    }
    again = [sys.executable, SUITE, HERE, "-q", "-k", AGAIN]
    programs = programs_or_skip("jobs were tried on SQLite alone")
    with postgres_server(programs) as database:
        ran = subprocess.run(
            again,
            cwd=ROOT,
            env=outside | database.environment,
            capture_output=True,
            text=True,
            check=False,
        )
    print(ran.stdout[-300:], *re.findall("^UNSTABLE.*", ran.stdout, re.MULTILINE), sep="\n")
    assert ran.returncode == 0, ran.stdout
