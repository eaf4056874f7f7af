"""An owner's retry is refused where a new job would be, on both databases."""

import dataclasses
from typing import Any

import pytest

from .conftest import Lab
from .limited import submit
from .test_doors import ada as ada
from .test_maintenance import RecordingBroker
from .test_maintenance_publish import process
from .test_maintenance_publish import quiet as quiet

BOUND = 3


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an owner's jobs 3 may wait in a queue, and 3 for a limit."""
    from offload.conf import conf
    from offload.jobs import admission
    from offload.jobs.maintenance import read_stats

    limits = dataclasses.replace(conf(), jobs_per_owner=BOUND, queue_depth=BOUND)
    for module in (admission, read_stats):
        monkeypatch.setattr(module, "conf", lambda: limits)


def cancelled(lab: Lab, kind: str = "lab.burn", count: int = BOUND, **params: Any) -> list[Any]:
    from offload.jobs.control import cancel_job

    jobs = []
    for _ in range(count):
        jobs.append(lab.submit(kind, owner="ada", **params))
        cancel_job(jobs[-1].pk, "ada")
    return jobs


def bulk_retry(client: Any, jobs: list[Any]) -> Any:
    body = {"ids": [str(job.pk) for job in jobs]}
    return client.post("/api/jobs/retry", body, content_type="application/json").json()


def test_an_owner_does_not_fill_a_queue_by_retries(
    quiet: Lab, ada: Any, few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs.control import retry_job
    from offload.jobs.models import Job
    from offload.jobs.services import services

    # Cancelled jobs count for nothing: so he may have any number of them.
    collected = [job for _ in range(3) for job in cancelled(quiet)]
    waiting = [quiet.submit("lab.burn", owner="ada") for _ in range(BOUND)]
    leader = process(RecordingBroker())
    leader.run()
    monkeypatch.setattr(services, "stats", leader.stats)

    one = ada.post(f"/api/jobs/{collected[0].pk}/retry")
    assert (one.status_code, one["Retry-After"]) == (429, "60")
    many = bulk_retry(ada, collected)
    assert (many["done"], len(many["refused"])) == (0, len(collected))
    assert "is the limit" in many["refused"][0]["detail"]
    assert Job.objects.filter(status="queued").count() == BOUND

    # Staff may.
    assert retry_job(collected[0].pk, "staff").status == "queued"
    Job.objects.filter(pk__in=[collected[0].pk, waiting[0].pk]).delete()
    leader.run()
    assert ada.post(f"/api/jobs/{collected[1].pk}/retry").status_code == 202


def test_an_owner_does_not_fill_a_limit_by_retries(quiet: Lab, ada: Any, few: None) -> None:
    from offload.jobs.models import Job

    for _ in range(3):
        submit(quiet, "lab.three")
    # Others hold the limit's three places.
    collected = cancelled(quiet, "lab.three", count=2 * BOUND, name="a")
    assert bulk_retry(ada, collected[:BOUND])["done"] == BOUND
    answer = ada.post(f"/api/jobs/{collected[BOUND].pk}/retry")
    assert (answer.status_code, answer["Retry-After"]) == (503, "60")
    assert Job.objects.filter(owner="ada", unblock_at__isnull=False).count() == BOUND
