"""The account of a random life (`life/account.py`) finds a fault that is planted for each of its
newer invariants. The fault of a pause is found by `life/faults.py`, in the life itself.
"""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.db.models import Q

from .conftest import Lab
from .families import claimed
from .life.account import Account


def faults_found(lab: Lab) -> str:
    callers = SimpleNamespace(accepted={}, wrong=[])
    faults: Any = SimpleNamespace(happened=[], wrong=[])
    return "\n".join(Account(lab, callers, faults).faults_found())  # type: ignore[arg-type]


def chore(lab: Lab, kind: str = "life.chore", **followers: Any) -> Any:
    log = lab.folder / f"chore-{time.monotonic_ns()}"
    return claimed(lab.submit(kind, log=str(log), units=2, **followers).pk)


def note(job: Any, word: str, seconds: float) -> None:
    """Note as an execution does."""
    with Path(job.params["log"]).open("a") as file:
        file.write(f"{word} {job.token} {seconds:.3f}\n")


def succeed(job: Any, begin: float = 1.0) -> Any:
    """Execute a chore for a second."""
    from offload.jobs import transitions

    note(job, "start", begin)
    note(job, "end", begin + 1.0)
    ended = transitions.succeed(job, {"value": 2, "token": job.token}, "")
    assert ended
    return ended


def test_a_result_of_a_process_that_has_lost_its_job(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs import transitions

    frozen = chore(lab)
    assert transitions.reclaim(frozen, "worker lost")
    second = claimed(frozen.pk)
    monkeypatch.setattr(transitions, "held", lambda token: Q(status="running"))
    note(second, "start", 1.0)
    succeed(frozen)
    # The second one is not killed in time.
    note(second, "end", 3.0)
    assert "the result is of token 1, the row has 3" in faults_found(lab)


def test_more_limited_jobs_at_once_than_may(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from offload.jobs import blocked

    first = chore(lab, "life.limited")
    monkeypatch.setattr(blocked, "_room", lambda limit, taken, state: (100, None))
    second = chore(lab, "life.limited")
    succeed(first, begin=1.0)
    succeed(second, begin=1.5)
    assert "2 limited jobs ran at 1.500, 1 may" in faults_found(lab)


def test_followers_that_are_missing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from offload.jobs import divided, transitions

    chain: dict[str, Any] = {"then": ["life.next"], "on_end": "life.told"}
    monkeypatch.setattr(divided, "insert_followers", lambda ended: None)
    succeed(chore(lab, **chain))
    assert transitions.fail(chore(lab, **chain), "broken on purpose")
    found = faults_found(lab)
    assert "its next job is missing" in found
    assert "has ended and called back 0 times" in found


def test_a_follower_that_comes_twice(lab: Lab) -> None:
    from offload.jobs.followers import followers_of

    ended = succeed(chore(lab, then=["life.next"]))
    (again,) = followers_of(ended)
    again.pk = uuid4()
    again.save(force_insert=True)
    assert "2 next jobs of 1 that have succeeded" in faults_found(lab)
