"""Breadth first over all states of one family of jobs and two workers."""

from collections import defaultdict, deque
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from django.db import transaction

from .actions import CLOCK, EFFECTS, Action, Process, Processes, State, actions_in, pass_time
from .invariants import EVERY_JOB_CAN_END, OF_CHANGES, OF_STATES, Change
from .rows import FAMILIES, LIVES, NEWEST_TOKEN, OLD_TOKEN, TWINS, WORKERS, Row, Rows, Table, row_of

# What brings a job to an end where nobody cancels it, gives it up or deletes it.
HELPFUL = {
    "claim",
    "claim_again",
    "progress",
    "succeed",
    "stop",
    "divide",
    "reclaim",
    "rescue",
    "the lease ends",
    "it becomes due",
    "unblock",
    "it may become due",
}


class Broken(Exception):
    """An invariant does not hold. Its text has the number, and the way there."""

    def __init__(self, number: int, name: str, way: str) -> None:
        super().__init__(f"invariant {number} ({name}) does not hold after:\n{way}")
        self.number = number


@dataclass(frozen=True)
class Outcome:
    """What the database made of an action.

    Args:
        rows: the rows afterwards.
        moved: the jobs whose token has changed, or whose row is gone.
        taken: whether the transition returned a row.
        broken: the invariant that the change broke.
    """

    rows: Rows
    moved: frozenset[int]
    taken: bool
    broken: tuple[int, str] | None


@dataclass
class Explorer:
    """All states of a family, up to a depth.

    Args:
        name: a key of `FAMILIES`.
        depth: the most actions from the first state; None: until no new state is found.
    """

    name: str
    depth: int | None = None
    # The state and the action from which a state was found first.
    found: dict[State, tuple[State, Action] | None] = field(default_factory=dict)
    executed: int = 0
    # Whether every state's actions were all tried.
    closed: bool = True

    def __post_init__(self) -> None:
        self.table = Table(FAMILIES[self.name])
        self._outcomes: dict[tuple[Any, ...], Outcome] = {}
        self._checked: dict[Rows, None] = {}
        self._before: dict[State, set[State]] = defaultdict(set)

    def explore(self) -> None:
        """Visit every state.

        Raises:
            Broken: an invariant does not hold.
        """
        first = State(
            tuple(member.first_row for member in self.table.family),
            (None,) * len(WORKERS),
        )
        self.found[first] = None
        states = deque([(first, 0), *((state, 0) for state in self._live(first))])
        while states:
            state, depth = states.popleft()
            if depth == self.depth:
                self.closed = False
                continue
            for action in actions_in(state, self.table):
                after = self._canonical(self._after(state, action))
                if action.name in HELPFUL:
                    self._before[after].add(state)
                if after not in self.found:
                    self.found[after] = (state, action)
                    self._check(after)
                    states.append((after, depth + 1))
        if self.closed:
            self._check_every_job_can_end()

    def _live(self, state: State) -> list[State]:
        """The states of the family's life without a fault."""
        states = []
        for step in LIVES[self.name]:
            action = Action(*step)
            # Without canonical states, because the steps name workers and jobs.
            after = self._after(state, action)
            if self._canonical(after) not in self.found:
                self.found[self._canonical(after)] = (self._canonical(state), action)
                self._check(self._canonical(after))
                states.append(self._canonical(after))
            state = after
        return states

    def _after(self, state: State, action: Action) -> State:
        if action.name == "die":
            return State(state.rows, _with(state.processes, action.worker, None))
        if action.name in CLOCK:
            return State(pass_time(state.rows, action), state.processes)

        outcome = self._outcome(state.rows, action)
        if outcome.broken:
            raise self._broken(*outcome.broken, state, action)
        processes = tuple(
            process._replace(knows="old")
            if process and process.knows == "newest" and process.job in outcome.moved
            else process
            for process in state.processes
        )
        return State(outcome.rows, self._remember(processes, action, outcome))

    def _remember(self, processes: Processes, action: Action, outcome: Outcome) -> Processes:
        """What the process that acted has in its memory afterwards."""
        match action.name:
            case "claim" if action.lost:
                return _with(processes, action.worker, Process(action.job, "asking"))
            case "claim" | "claim_again":
                held = Process(action.job, "newest") if outcome.taken else None
                return _with(processes, action.worker, held)
            case "progress":
                return processes if outcome.taken else _with(processes, action.worker, None)
            case "succeed" | "fail" | "retry" | "stop" | "divide" if not action.lost:
                return _with(processes, action.worker, None)
        return processes

    def _outcome(self, rows: Rows, action: Action) -> Outcome:
        key = (rows, action.name, action.job, action.worker, action.knows)
        if key not in self._outcomes:
            self._outcomes[key] = self._execute(rows, action)
        return self._outcomes[key]

    def _execute(self, rows: Rows, action: Action) -> Outcome:
        """Execute the real transition on these rows."""
        self.executed += 1
        row = rows[action.job] or Row()
        token = OLD_TOKEN if action.knows == "old" else NEWEST_TOKEN
        job = self.table.job(action.job, row, token)
        with transaction.atomic():
            self.table.write(rows)
            before = self.table.read()
            taken = EFFECTS[action.name](self.table, job, action.worker)
            after = self.table.read()
            transaction.set_rollback(True)

        moved = frozenset(
            number
            for number, (old, new) in enumerate(zip(before, after, strict=True))
            if old is not None and (new is None or new.token != old.token)
        )
        change = Change(action, self.table.family, before, after)
        broken = next(((n, f.__name__) for n, f in OF_CHANGES if not f(change)), None)
        return Outcome(tuple(map(row_of, after)), moved, taken is not None, broken)

    def _check(self, state: State) -> None:
        for number, holds in OF_STATES:
            if not holds(*state, self.table.family):
                raise self._broken(number, holds.__name__, state)

    def _check_every_job_can_end(self) -> None:
        ends = [s for s in self.found if all(row is None or row.final for row in s.rows)]
        reached, todo = set(ends), deque(ends)
        while todo:
            for state in self._before[todo.popleft()] - reached:
                reached.add(state)
                todo.append(state)
        stuck = next((state for state in self.found if state not in reached), None)
        if stuck is not None:
            raise self._broken(EVERY_JOB_CAN_END, "every_job_can_end", stuck)

    def _broken(self, number: int, name: str, state: State, action: Action | None = None) -> Broken:
        steps = [] if action is None else [str(action)]
        at: State | None = state
        while at is not None:
            steps.append("    " + _text(at))
            came = self.found[at]
            if came is not None:
                steps.append(str(came[1]))
            at = came[0] if came is not None else None
        return Broken(number, name, "\n".join(reversed(steps)))

    def _canonical(self, state: State) -> State:
        """The same state for all ways to number workers, and jobs that are alike."""
        swaps = product((False, True), (False, True) if self.name in TWINS else (False,))
        return min((self._swapped(state, *swap) for swap in swaps), key=_order)

    def _swapped(self, state: State, workers: bool, twins: bool) -> State:
        rows, processes = state
        if workers:
            processes = processes[::-1]
            rows = tuple(
                row._replace(worker=1 - row.worker)
                if row is not None and row.worker is not None
                else row
                for row in rows
            )
        if twins:
            one, other = TWINS[self.name]
            swap = {one: other, other: one}
            rows = tuple(rows[swap.get(number, number)] for number in range(len(rows)))
            processes = tuple(
                process and process._replace(job=swap.get(process.job, process.job))
                for process in processes
            )
        return State(rows, processes)


def _order(state: State) -> str:
    return repr(state)


def _with(processes: Processes, worker: int | None, process: Process | None) -> Processes:
    return tuple(process if n == worker else each for n, each in enumerate(processes))


def _text(state: State) -> str:
    """A state in one line: what is not as at first."""
    rows = []
    for number, row in enumerate(state.rows):
        first = Row()._asdict()
        values = {} if row is None else row._asdict()
        other = [f"{name}={value}" for name, value in values.items() if value != first[name]]
        rows.append(f"{number}: {' '.join(other) or ('as at first' if row else 'no row')}")
    held = [f"{n}: job {each.job} {each.knows}" for n, each in enumerate(state.processes) if each]
    return f"rows {'; '.join(rows)} | processes {'; '.join(held) or 'idle'}"
