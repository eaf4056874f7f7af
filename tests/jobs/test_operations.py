"""The pages for staff: jobs, the lists, and what the service does. Moved by the test."""

import os
import signal
from datetime import timedelta

import httpx
import pytest
from django.db.models import F
from django.utils import timezone

from .conftest import Lab
from .families import claimed, divided
from .staff_pages import JOBS, OPERATIONS, page_of, reasons, shift, works
from .staff_pages import _no_workers as _no_workers
from .test_by_hand import failed
from .test_by_hand_staff import _no_jobs as _no_jobs
from .test_by_hand_staff import pages
from .test_maintenance import RecordingBroker, run_maintenance
from .test_maintenance_publish import insert
from .test_web_process import frozen_database


def test_the_page_of_a_job_offers_what_its_user_may_do(lab: Lab) -> None:
    job = failed(lab, log="/dev/null")
    assert "this job" not in page_of(job)
    page = page_of(job, "change_job", "delete_job")
    assert ("Retry this job" in page, "Discard this job" in page) == (True, True)
    assert "Cancel this job" not in page

    browser = pages("view_job", "change_job")
    chosen = {"action": "retry_selected", "_selected_action": [str(job.pk)], "one": "yes"}
    asked = browser.post(JOBS, chosen).content.decode()
    assert "Retry 1 jobs?" in asked
    assert 'name="one"' in asked
    done = browser.post(JOBS, {**chosen, "confirmed": "yes"})
    assert done.headers["location"] == f"{JOBS}{job.pk}/change/"
    assert "Cancel this job" in browser.get(done.headers["location"]).content.decode()


SECRET = "an-account-number"


def test_no_page_shows_parameters_or_results_without_the_permission(lab: Lab) -> None:
    from offload.jobs.models import Job

    job = lab.submit("lab.burn", log=f"/dev/{SECRET}")
    values = {
        "result": {"value": SECRET},
        "checkpoint": {"next": SECRET},
        "error_detail": f"KeyError: {SECRET}",
        "limit_key": f"lab.burn:{SECRET}",
        "fingerprint": f"hash of {SECRET}",
        "unique_key": f"hash of {SECRET}, too",
    }
    row = shift(job, unblock_at=timezone.now(), due_at=None, **values)
    addresses = (
        OPERATIONS,
        JOBS,
        f"{JOBS}?q={job.pk}",
        f"{JOBS}{job.pk}/change/",
        f"{JOBS}{job.pk}/history/",
    )
    blind, seeing = pages("view_job", "change_job"), pages("view_job", "view_job_data")
    for address in addresses:
        answer = blind.get(address)
        assert answer.status_code == 200, address
        assert SECRET not in answer.content.decode(), address
    shown = seeing.get(f"{JOBS}{row.pk}/change/").content.decode()
    assert shown.count(SECRET) == 7
    assert SECRET in seeing.get(OPERATIONS).content.decode()
    assert ("params", *values) == Job.DATA_FIELDS


@pytest.mark.parametrize(
    "query",
    ["params__log__startswith=/", "error_detail__contains=x", "parent__owner=x", "id__gt=0"],
)
def test_no_address_asks_for_a_column_that_is_no_filter(lab: Lab, query: str) -> None:
    lab.submit("lab.burn", log=f"/dev/{SECRET}")
    answer = pages("view_job").get(f"{JOBS}?{query}", follow=True)
    assert (answer.status_code, "lab.burn</td>" in answer.content.decode()) == (400, False)


@pytest.mark.parametrize(
    "query",
    [
        "kind=%00",
        "error=%00&status=failed",
        "status=nothing",
        "age=x",
        "age=1e400",
        "q=%00",
        "q=%25",
        "p=999",
        "p=x",
        "o=1.2.99",
        "all=",
        "q=" + "f" * 40,
        "status=failed&status=queued",
    ],
)
def test_no_query_of_the_list_is_an_error(lab: Lab, query: str) -> None:
    lab.submit("lab.burn")
    assert pages("view_job").get(f"{JOBS}?{query}", follow=True).status_code == 200


def test_the_list_begins_with_the_oldest_unfinished_job_and_is_searched_by_id(lab: Lab) -> None:
    from offload.jobs.models import Job

    browser = pages("view_job")

    def listed(query: str) -> list[str]:
        page = browser.get(f"{JOBS}?{query}")
        return [str(job.pk) for job in page.context["cl"].result_list]

    old, new = (str(lab.submit("lab.burn", owner=name).pk) for name in ("anna", "bob"))
    # SQLite's clock has milliseconds: both may have the same one.
    Job.objects.filter(pk=old).update(created_at=F("created_at") - timedelta(seconds=1))
    bad = str(failed(lab, log="/dev/null").pk)
    assert listed("") == [old, new]
    assert listed("status=queued&kind=lab.burn&queue=cpu") == [old, new]
    assert listed("status=failed") == listed("status=finished&kind=lab.burn") == [bad]
    assert listed("status=succeeded") == listed("kind=lab.other") == listed("age=3600") == []
    assert listed(f"q={bad}") == listed(f"q={bad[:8]}") == listed(f"q={bad[:13].upper()}") == [bad]
    assert listed("q=bob") == [new]
    assert listed("q=bo") == []


def test_the_page_shows_queues_workers_limits_schedules_and_what_is_wrong(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs.control import pause
    from offload.jobs.services import services

    worker = works("default")
    # The worker of the other queue has vanished.
    works("cpu", seen_at=timezone.now() - timedelta(minutes=1))
    job = claimed(lab.submit("lab.burn").pk)
    shift(job, worker=worker.pk)
    failed(lab, log="/dev/null")
    jobs = [lab.submit("lab.by_owner", name="x") for _ in range(3)]
    insert(4, seconds=60)
    pause(kind="lab.burn", by="anna", reason="repairs")
    monkeypatch.setattr(services, "stats", run_maintenance(RecordingBroker()))
    answer = pages("view_job").get(OPERATIONS)
    page = answer.content.decode()
    assert answer.status_code == 200
    assert answer.context["missing"] == []
    types = {row.kind: row for row in answer.context["types"]}
    assert (types["lab.burn"].due, types["lab.burn"].running) == ("4", "1")
    assert types["lab.burn"].age > 30
    assert types["lab.by_owner"].blocked == str(len(jobs) - 1)
    for text in (
        "Jobs wait in the queue &#x27;cpu&#x27;, and no worker reads it.",
        "The job type lab.burn is paused by anna: repairs.",
        f'<a href="{JOBS}{job.pk}/change/">lab.burn</a>',
        "status=failed&amp;kind=lab.burn",
        "default@lab",
        "at most 1 at once",
        "No upstream is open.",
    ):
        assert text in page, text


def test_the_page_is_in_the_index_for_those_who_may_view_jobs_alone() -> None:
    assert f'href="{OPERATIONS}"' in pages("view_job").get("/admin/").content.decode()
    other = pages("view_worker")
    assert OPERATIONS not in other.get("/admin/").content.decode()
    assert other.get(OPERATIONS).status_code == 403
    assert pages().get(OPERATIONS).status_code == 403


def test_no_page_has_an_inline_script_or_style(lab: Lab) -> None:
    job = failed(lab, log="/dev/null")
    browser = pages("view_job", "change_job")
    for address in (OPERATIONS, f"{JOBS}{job.pk}/change/", f"{JOBS}failures/"):
        page = browser.get(address).content.decode()
        assert "<style" not in page
        assert " style=" not in page
        assert " onclick=" not in page
        scripts = [tag.partition(">")[0] for tag in page.split("<script")[1:]]
        assert all("src=" in tag for tag in scripts), scripts


# Seconds in which the page answers, whatever is away; a machine may be busy.
DEADLINE_SECONDS = 30.0


def test_the_page_answers_beside_a_frozen_redis_and_a_frozen_database(lab: Lab) -> None:
    cookies = dict(pages("view_job").cookies.items())
    lab.redis()
    lab.web()
    headers = {"Cookie": f"sessionid={cookies['sessionid'].value}"}
    with httpx.Client(
        base_url=lab.address, timeout=DEADLINE_SECONDS, headers=headers, trust_env=False
    ) as client:

        def says(text: str) -> bool:
            return text in client.get(OPERATIONS).text

        away = "does not reach the broker (Redis)"
        lab.until(lambda: not says(away), "Redis to be there")
        lab.kill("redis", signal.SIGSTOP)
        lab.until(lambda: says(away), "the page to say that Redis is away")
        lab.kill("redis", signal.SIGCONT)
        lab.until(lambda: not says(away), "Redis to be back")

        if "LAB_DATABASE_FOLDER" not in os.environ:
            return
        with frozen_database():
            answer = client.get(OPERATIONS)
            assert (answer.status_code, "The database does not answer" in answer.text) == (
                503,
                True,
            )
        lab.until(lambda: client.get(OPERATIONS).status_code == 200, "the thaw")


def test_a_locked_table_costs_the_page_its_sections_and_nothing_else(lab: Lab) -> None:
    from django.db import connection

    if connection.vendor != "postgresql":
        pytest.skip("POSTGRESQL ALONE has locks for which a read waits")
    import psycopg

    works()
    browser = pages("view_job")
    with psycopg.connect(os.environ["DATABASE_URL"]) as other:
        other.execute("LOCK TABLE offload_worker IN ACCESS EXCLUSIVE MODE")
        answer = browser.get(OPERATIONS)
    page = answer.content.decode()
    assert answer.context["missing"] == ["workers", "pauses", "limits", "schedules"]
    assert "Missing on this page: workers, pauses, limits, schedules." in page
    assert "Jobs that have not ended" in page
    assert browser.get(OPERATIONS).context["missing"] == []


def test_an_action_on_all_takes_the_list_and_one_on_nonsense_takes_nothing(lab: Lab) -> None:
    bad = [failed(lab, log="/dev/null") for _ in range(2)]
    waiting = lab.submit("lab.burn")
    browser = pages("view_job", "change_job")
    chosen = {"action": "cancel_selected", "_selected_action": [str(bad[0].pk)], "index": 0}
    across = browser.post(f"{JOBS}?status=failed", {**chosen, "select_across": "1"})
    assert [job.pk for job in across.context["jobs"]] == [job.pk for job in reversed(bad)]
    across = browser.post(JOBS, {**chosen, "select_across": "1"})
    assert [job.pk for job in across.context["jobs"]] == [waiting.pk]

    for nonsense in ("nonsense", "\0", "1" * 5000):
        wrong = {**chosen, "_selected_action": [nonsense], "confirmed": "yes", "one": "yes"}
        assert browser.post(JOBS, wrong, follow=True).status_code == 200, nonsense
    assert browser.get(f"{JOBS}nonsense/change/", follow=True).status_code == 200
    assert reasons(waiting)


def test_a_caller_sees_his_newest_jobs_with_their_first_parts_and_the_workers(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    from offload.jobs import overview, read_overview

    worker = works("cpu", slots=3)
    lab.submit("lab.burn", units=1)
    lab.submit("lab.burn", owner="another", units=1)
    whole, parts = divided(lab, 3)
    shift(parts[0], worker=worker.pk, progress=0.5)

    found = read_overview("lab", max_jobs=1, max_parts=2)
    assert found.jobs is not None
    (shown,) = found.jobs
    assert shown.id == whole.pk
    assert [(part.status, part.progress) for part in shown.parts] == [
        ("running", 0.5),
        ("running", 0.0),
    ]
    assert found.workers == [overview.WorkerOverview(["cpu"], 3, 1)]
    assert "params" not in shown.model_dump()

    def away(owner: str) -> None:
        raise OperationalError

    monkeypatch.setattr(overview, "listed", away)
    missing = read_overview("lab", max_jobs=1, max_parts=2)
    assert (missing.jobs, missing.workers) == (None, None)
