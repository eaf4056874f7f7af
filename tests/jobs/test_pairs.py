"""All pairs of transitions in one family, statement by statement, on two connections (PostgreSQL).

The model (`model/`) knows transitions as a whole. Here two of them meet inside: one is stopped
after each of its statements, and the other one comes as far as it can. Some pairs of each situation
are tried, drawn by seeded dice; all with LAB_PAIRS=100000.
"""

import os
import random
from collections.abc import Callable, Iterator
from itertools import combinations_with_replacement
from typing import Any

import pytest

from .conftest import Lab
from .lockstep import Actor, run_both


@pytest.fixture(autouse=True)
def _postgres(lab: Lab) -> None:
    from django.db import connection

    if connection.vendor != "postgresql":
        pytest.skip("SQLITE HAS ONE WRITER: test_postgres.py runs this file on PostgreSQL")


def _running(worker: int) -> Any:
    from .model.rows import Row

    return Row(status="running", attempts=1, worker=worker, lease="past", due=None)


def _waiting(parts: int) -> Any:
    from .model.rows import Row

    return Row(status="running", phase="parts", due=None, parts_count=parts)


# Pairs of each situation: 12 take some seconds.
PAIRS = int(os.environ.get("LAB_PAIRS", "12"))
SEED = os.environ.get("LAB_SEED", "1")
NAMES = (
    "a job is due",
    "a job runs",
    "a job is divided",
    "the last part runs",
    "two parts run",
    "a part of a part runs",
    "all have ended",
)


def rows_of(name: str) -> tuple[str, tuple[Any, ...]]:
    """The family and the rows of a situation."""
    from .model.rows import Row

    ended = Row("succeeded", attempts=1, due=None, expires="past", value=1)
    match name:
        case "a job is due":
            return "plain", (Row(),)
        case "a job runs":
            return "plain", (_running(0),)
        case "a job is divided":
            return "divided", (_running(0), None, None)
        case "the last part runs":
            return "divided", (_waiting(2), _running(0), ended)
        case "two parts run":
            return "divided", (_waiting(2), _running(0), _running(1))
        case "a part of a part runs":
            return "nested", (_waiting(1), _waiting(1), _running(0))
        case "all have ended":
            return "divided", (ended._replace(phase="join", parts_count=2, value=2), ended, ended)
    raise ValueError(name)


class Situation:
    """Some rows, and everything that may happen to them."""

    def __init__(self, name: str) -> None:
        from .model.rows import FAMILIES, Table

        family, self.rows = rows_of(name)
        self.table = Table(FAMILIES[family])

    def pairs(self) -> list[tuple[Any, Any]]:
        """Pairs of actions of which one at least changes a row."""
        changing = {each for each in self._actions() if self.in_turn(each) != self.rows}
        every = combinations_with_replacement(self._actions(), 2)
        pairs = [pair for pair in every if changing & set(pair)]
        return random.Random(SEED).sample(pairs, min(PAIRS, len(pairs)))

    def _actions(self) -> list[Any]:
        """What may happen, whether or not a process works on the jobs that are held."""
        from .model.actions import CLOCK, Process, State, actions_in

        held = {row.worker: n for n, row in enumerate(self.rows) if row and row.worker is not None}
        working = tuple(Process(held[n], "newest") if n in held else None for n in (0, 1))
        found: dict[Any, None] = {}
        for processes in (working, (None, None)):
            for action in actions_in(State(self.rows, processes), self.table):
                found[action] = None
        left_out = (*CLOCK, "die", "claim_again")
        return [each for each in found if not each.lost and each.name not in left_out]

    def reset(self) -> None:
        from offload.jobs.models import Job

        Job.objects.all().delete()
        jobs = [self.table.job(n, row) for n, row in enumerate(self.rows) if row is not None]
        Job.objects.bulk_create(jobs)

    def call(self, action: Any) -> Callable[[], Any]:
        """The real transition, as its worker would call it."""
        from offload.jobs.models import Job

        from .model.actions import EFFECTS
        from .model.rows import Row

        job = self.table.job(action.job, self.rows[action.job] or Row())

        def act() -> Any:
            try:
                return EFFECTS[action.name](self.table, job, action.worker)
            except Job.DoesNotExist:
                # Who acts by hand is told so of a job that was deleted; nobody else may be.
                assert action.name in ("request_cancel", "retry_by_hand", "discard")
                return None

        return act

    def read(self) -> tuple[Any, ...]:
        """The rows as they are now."""
        from offload.jobs.models import Job

        from .model.rows import job_id, row_of

        found = {job.pk: job for job in Job.objects.all()}
        return tuple(row_of(found.get(job_id(n))) for n in range(len(self.table.family)))

    def in_turn(self, *actions: Any) -> tuple[Any, ...]:
        """The rows after one action and then the other one."""
        self.reset()
        for action in actions:
            self.call(action)()
        return self.read()


# These pass over a row that another transaction has locked, and come back later.
SKIPPING = ("renew", "rescue", "prune")


def faults_of(
    situation: Situation, actors: tuple[Actor, Actor], one: Any, other: Any
) -> Iterator[str]:
    """What goes wrong as two actions meet, for each number of statements of the first."""
    in_turn = {situation.in_turn(one, other), situation.in_turn(other, one)}
    if one.name in SKIPPING:
        in_turn.add(situation.in_turn(other))
    if other.name in SKIPPING:
        in_turn.add(situation.in_turn(one))

    for first, second in {(one, other), (other, one)}:
        statements, more = 1, True
        while more:
            situation.reset()
            results, more = run_both(
                actors, situation.call(first), situation.call(second), statements
            )
            for fault in _faults_of_end(situation, results, in_turn):
                yield f"{first}, stopped after {statements} statements, beside {second}: {fault}"
            statements += 1


def _faults_of_end(
    situation: Situation, results: list[Any], in_turn: set[tuple[Any, ...]]
) -> Iterator[str]:
    from offload.postgresql.conflicts import is_lock_conflict

    from .model.invariants import OF_STATES

    rows = situation.read()
    for result in results:
        if isinstance(result, Exception) and not is_lock_conflict(result):
            yield repr(result)
    for number, holds in OF_STATES:
        if not holds(rows, (None, None), situation.table.family):
            yield f"invariant {number} does not hold: {rows}"
    if rows not in in_turn:
        yield f"{rows} is neither of {in_turn}"


@pytest.fixture
def actors() -> Iterator[tuple[Actor, Actor]]:
    pair = Actor(), Actor()
    yield pair
    for actor in pair:
        actor.end()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", NAMES)
def test_two_transitions_that_meet_end_as_if_one_came_first(
    name: str, lab: Lab, actors: tuple[Actor, Actor]
) -> None:
    situation = Situation(name)
    pairs = situation.pairs()
    found = [fault for pair in pairs for fault in faults_of(situation, actors, *pair)]
    print(f"{name}: {len(pairs)} pairs, seed {SEED}")
    assert not found, f"seed {SEED}, {len(found)} faults:\n" + "\n".join(found[:20])
