"""Transitions of one family of jobs that meet in the database at the same moment (PostgreSQL)."""

import random
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from .conftest import Lab
from .families import claimed, claimed_whole, divided, nested


@pytest.fixture(autouse=True)
def _postgres(lab: Lab) -> None:
    from django.db import connection

    if connection.vendor != "postgresql":
        pytest.skip("SQLITE HAS ONE WRITER: test_postgres.py runs this file on PostgreSQL")


def at_once(*actions: Callable[[], Any]) -> list[Any]:
    """Call all actions at the same moment, each in a thread. Their results, errors among them."""
    from django.db import connection

    barrier, results = threading.Barrier(len(actions)), [None] * len(actions)

    def run(index: int, action: Callable[[], Any]) -> None:
        connection.ensure_connection()
        barrier.wait(30)
        try:
            results[index] = action()
        except Exception as error:
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def errors(results: list[Any]) -> list[Exception]:
    return [result for result in results if isinstance(result, Exception)]


def test_parts_that_fail_together_never_deadlock(lab: Lab) -> None:
    from offload.jobs import transitions

    for _ in range(10):
        whole, parts = divided(lab, 6)
        fails = [partial(transitions.fail, part, "the input is wrong") for part in parts]
        started = time.monotonic()
        assert errors(at_once(*fails)) == []
        # PostgreSQL looks for a deadlock after a second.
        assert time.monotonic() - started < 20
        whole.refresh_from_db()
        assert whole.status == "failed"
        assert "the input is wrong" in whole.error


def test_one_part_that_fails_while_others_succeed_never_deadlocks(lab: Lab) -> None:
    from offload.jobs import transitions

    for _ in range(10):
        whole, parts = divided(lab, 4)
        ends = [partial(transitions.succeed, part, {"value": 1}, "") for part in parts]
        ends[0] = partial(transitions.fail, parts[0], "ValueError")
        assert errors(at_once(*ends)) == []
        whole.refresh_from_db()
        assert whole.status == "failed"
        assert (
            not whole.parts.exclude(status="succeeded")
            .filter(status="running", cancel_requested_at=None)
            .exists()
        )


def test_a_cancel_beside_a_part_that_fails_is_answered(lab: Lab) -> None:
    from offload.jobs import transitions

    for _ in range(15):
        whole, parts = divided(lab, 4)
        results = at_once(
            partial(transitions.request_cancel, whole.pk),
            *[partial(transitions.fail, part, "ValueError") for part in parts[:3]],
        )
        assert errors(results) == []
        assert results[0].status in ("cancelled", "failed")


def test_a_cancel_while_a_job_is_divided_leaves_no_part_to_compute(lab: Lab) -> None:
    from offload.jobs import transitions
    from offload.jobs.models import Job

    for _ in range(15):
        whole, parts = claimed_whole(lab, 64)

        def cancel(whole: Any = whole) -> Any:
            time.sleep(random.uniform(0.0, 0.03))
            return transitions.request_cancel(whole.pk)

        assert errors(at_once(partial(transitions.divide, whole, parts), cancel)) == []
        whole.refresh_from_db()
        assert whole.status == "cancelled"
        assert not Job.objects.filter(parent=whole, status__in=("queued", "running")).exists()


def test_a_cancel_is_never_lost_as_a_job_is_queued_again(lab: Lab) -> None:
    from offload.jobs import transitions

    for _ in range(40):
        job = claimed(lab.submit("lab.burn", units=1).pk)

        def cancel(job: Any = job) -> Any:
            time.sleep(random.uniform(0.0, 0.003))
            return transitions.request_cancel(job.pk)

        assert errors(at_once(partial(transitions.hand_back, job), cancel)) == []
        job.refresh_from_db()
        assert job.status == "cancelled"


def test_leaves_of_a_family_that_fail_together_never_deadlock(lab: Lab) -> None:
    from offload.jobs import transitions

    for _ in range(5):
        top, _, leaves = nested(lab)
        fails = [partial(transitions.fail, leaf, "ValueError") for leaf in leaves]
        assert errors(at_once(*fails, partial(transitions.request_cancel, top.pk))) == []
        top.refresh_from_db()
        assert top.status in ("cancelled", "failed")


def test_leases_are_renewed_while_a_family_is_cancelled(lab: Lab) -> None:
    from offload.jobs import transitions
    from offload.jobs.models import Job

    for _ in range(5):
        whole, parts = divided(lab, 30)
        worker = uuid4()
        Job.objects.filter(parent=whole).update(worker=worker)
        # In another order than the numbers of the parts.
        renewed = [part.pk for part in reversed(parts)]
        results = at_once(
            partial(transitions.request_cancel, whole.pk),
            *[partial(transitions.renew, worker, renewed)] * 3,
        )
        assert errors(results) == []


def test_the_last_two_parts_end_together_and_their_whole_is_due(lab: Lab) -> None:
    from offload.jobs import transitions

    for _ in range(10):
        whole, parts = divided(lab, 2)
        ends = [partial(transitions.succeed, part, {"value": 1}, "") for part in parts]
        assert errors(at_once(*ends)) == []
        whole.refresh_from_db()
        assert (whole.status, whole.phase) == ("running", "join")


def test_a_transaction_that_was_a_deadlocks_victim_is_tried_again(lab: Lab) -> None:
    from offload.jobs.models import Job
    from offload.jobs.transactions import in_transaction

    first, second = (lab.submit("lab.burn", units=1).pk for _ in range(2))
    meet = threading.Barrier(2)
    tries: list[Any] = []

    def lock(*job_ids: Any) -> None:
        tries.append(job_ids)
        Job.objects.select_for_update().get(pk=job_ids[0])
        if len(tries) <= 2:
            meet.wait(30)
        Job.objects.select_for_update().get(pk=job_ids[1])

    results = at_once(
        lambda: in_transaction(lambda: lock(first, second)),
        lambda: in_transaction(lambda: lock(second, first)),
    )
    assert errors(results) == []
    assert len(tries) == 3
