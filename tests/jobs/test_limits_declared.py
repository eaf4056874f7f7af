"""What a limit may be, and what a changed or missing declaration does to the blocked jobs."""

import dataclasses
import re
from typing import Any

import pytest

from .conftest import Lab
from .limited import place_of, submit, succeed
from .test_limits_meet import limit_type
from .test_maintenance import RecordingBroker, run_maintenance
from .test_maintenance_publish import every_run as every_run
from .test_maintenance_publish import process, worker
from .test_maintenance_publish import quiet as quiet


def test_a_type_that_nobody_knows_blocks_no_other_and_fails_after_a_day(
    quiet: Lab, every_run: None
) -> None:
    from offload.jobs.blocked import unblock
    from offload.jobs.models import Job
    from offload.jobs.row_states import from_now

    worker("lab.three")
    jobs = [submit(quiet, "lab.three") for _ in range(6)]
    Job.objects.filter(pk=jobs[3].pk).update(kind="lab.renamed", unblock_at=from_now(-90_000))
    Job.objects.filter(pk=jobs[5].pk).update(kind="lab.renamed")
    succeed(jobs[0])
    assert [job.pk for job in unblock(jobs[0].limit_key)] == [jobs[4].pk]

    process(RecordingBroker()).run()
    for job in jobs:
        job.refresh_from_db()
    assert "has known the job type 'lab.renamed'" in jobs[3].error
    assert [job.status for job in (jobs[3], jobs[5])] == ["failed", "queued"]


def test_jobs_of_a_limit_that_is_declared_no_more_are_unblocked(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs import declare
    from offload.jobs.models import Job

    for _ in range(10):
        submit(lab, "lab.three")
    three = declare.find_job_type("lab.three")
    free = dataclasses.replace(three, limits=dataclasses.replace(three.limits, run_limit=None))
    monkeypatch.setattr(declare, "_job_types", {three.name: free})
    run_maintenance(RecordingBroker())
    assert not Job.objects.filter(kind="lab.three", due_at=None).exists()


@pytest.mark.parametrize(("at_once", "unblocked"), [(1, 0), (4, 1), (40, 7)])
def test_a_limit_that_a_deploy_changes_holds_from_then_on(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, at_once: int, unblocked: int
) -> None:
    from offload.jobs import blocked
    from offload.jobs.run_limit import RunLimit

    jobs = [submit(lab, "lab.three") for _ in range(10)]
    limits = {"lab.three": RunLimit(at_once=at_once)}
    monkeypatch.setattr(blocked, "run_limits", lambda: limits)
    assert len(blocked.unblock(jobs[0].limit_key)) == unblocked


@pytest.mark.parametrize("limit", [{"rate": 10}, {"at_once": 1}])
def test_a_rate_that_a_deploy_changes_holds_from_then_on(
    quiet: Lab, monkeypatch: pytest.MonkeyPatch, limit: dict[str, Any]
) -> None:
    from offload.jobs.job_view import _expected_unblock_seconds

    limit_type(monkeypatch, "lab.paced", rate=1, period=86_400.0)
    first, second = (submit(quiet, "lab.paced") for _ in range(2))
    succeed(first)
    run_maintenance(RecordingBroker())
    assert place_of(second) == "blocked"
    assert _expected_unblock_seconds(second) == pytest.approx(86_400, abs=3600)

    limit_type(monkeypatch, "lab.paced", **limit)
    assert _expected_unblock_seconds(second) == (0.0 if "rate" in limit else None)
    run_maintenance(RecordingBroker())
    assert place_of(second) == 0


async def test_too_many_blocked_jobs_are_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from offload.conf import conf
    from offload.jobs import Idempotency, admission, client
    from offload.jobs.declare import find_job_type
    from offload.problems import Problem

    three = find_job_type("lab.three")
    few = dataclasses.replace(conf(), queue_depth=5)
    monkeypatch.setattr(admission, "conf", lambda: few)
    params = three.params(log="x", name="a")
    for number in range(8):
        key = Idempotency(f"key-{number}", "the body")
        last = await client.submit(three, params, owner="lab", idempotency=key)

    assert (await client.submit(three, params, owner="lab", idempotency=key)).pk == last.pk
    for refused in (
        client.submit(three, params, owner="lab"),
        client.submit_many(three, [params], owner="lab"),
    ):
        with pytest.raises(Problem, match="5 of your jobs wait for the same limit") as problem:
            await refused
        assert problem.value.headers["Retry-After"] == "60"
    assert await client.submit(three, params, owner="another")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "needs at_once, rate or both"),
        ({"at_once": 0}, "at least 1"),
        ({"rate": -1}, "at least 1"),
        ({"rate": 1, "period": 0.0}, "period must be between 0 and 86400"),
        ({"rate": 1, "period": 90_000.0}, "period must be between 0 and 86400"),
        ({"at_once": 1, "per": "tenant"}, "per must be 'type', 'owner' or a function"),
        ({"at_once": 1, "name": "a:b"}, "has no ':'"),
        ({"at_once": 1, "name": "a\0b"}, "can all be printed"),
        ({"at_once": 1, "name": "upstream"}, "share the limit 'upstream'"),
    ],
)
def test_a_wrong_limit_is_refused_when_its_module_is_imported(
    values: dict[str, Any], sentence: str
) -> None:
    from labyrinth.lab.jobs import Done, Noted

    from offload.jobs import InvalidJob, MiB, Report, RunLimit, job

    def wrong(params: Noted, report: Report) -> Done:
        return Done(value=1)

    declared = job("lab.wrong", time_limit=1, memory_limit=MiB, run_limit=RunLimit(**values))
    with pytest.raises(InvalidJob, match=re.escape(sentence)):
        declared(wrong)
