"""What must hold at the end of a life, for every job."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jobs.conftest import Lab
from offload.jobs.followers import next_job_id

from .callers import Accepted, Callers
from .faults import Faults

CRASHED = re.compile(r"attempt (\d+) of \1$")
FINAL = ("succeeded", "failed", "cancelled")
# Types whose executions are noted, and those that follow other jobs.
CHORES = ("life.chore", "life.limited")
FOLLOWERS = ("life.next", "life.told")
# As `lab_life.py` declares it.
AT_ONCE = 1


class Account:
    """Compares the rows with what was accepted, asked and executed."""

    def __init__(self, lab: Lab, callers: Callers, faults: Faults) -> None:
        from offload.jobs.models import Job

        self._lab = lab
        self._callers = callers
        self._faults = faults
        jobs = Job.objects.exclude(kind="lab.tick").order_by("created_at", "number")
        self._rows = {row.pk: row for row in jobs}
        self._deploys = sum("deploy_worker" in text for text in faults.happened)

    def faults_found(self) -> list[str]:
        """A sentence for each job that something is wrong with, with its timeline."""
        found = [*self._callers.wrong, *self._faults.wrong, *self._missing(), *self._bugs()]
        found += [*self._of_limit(), *self._of_followers()]
        for row in self._rows.values():
            wrong = list(self._of_job(row))
            if wrong:
                found.append(f"job {row.pk}: {'; '.join(wrong)}\n{self.timeline(row)}")
        return found

    def summary(self) -> str:
        """What happened, in some lines."""
        states = Counter(f"{row.kind} {row.status}" for row in self._rows.values())
        starts = sum(len(_executions(row, "start")) for row in self._rows.values())
        attempts = sum(row.attempts for row in self._rows.values())
        faults = Counter(text.split()[3] for text in self._faults.happened)
        return (
            f"{len(self._callers.accepted)} accepted, {self._callers.unanswered} unanswered, "
            f"{self._callers.refused} refused; {_listed(states)}; {starts} executions, "
            f"{attempts} attempts; {len(self._faults.happened)} faults: {_listed(faults)}"
        )

    def timeline(self, row: Any) -> str:
        """All that is known of a job: its row; executions, log lines and faults by their time."""
        lines = [(float(at), f"executed: {line}") for line, at in _noted(row)]
        for path in self._lab.folder.glob("*.log"):
            for line in path.read_text(errors="replace").splitlines():
                if str(row.pk) in line:
                    lines.append((_time_of(line), f"{path.stem}: {line}"))
        for fault in self._faults.happened:
            lines.append((float(fault.split()[2]), f"fault: {fault}"))
        begin = row.created_at.timestamp() - 5
        end = (row.finished_at.timestamp() if row.finished_at else float("inf")) + 10
        columns = {
            n: v for n, v in vars(row).items() if not n.startswith("_") and v not in (None, "")
        }
        shown = [f"  {at:.3f} {text}" for at, text in sorted(lines) if begin <= at <= end]
        return "\n".join([f"  row: {columns}", *shown])

    def _missing(self) -> Iterator[str]:
        for job_id, accepted in self._callers.accepted.items():
            if job_id not in self._rows and not accepted.discarded:
                yield f"job {job_id} got its 202 and has no row"

    def _bugs(self) -> Iterator[str]:
        """What a process logged that no fault of a life explains."""
        for path in self._lab.folder.glob("*.log"):
            for line in path.read_text(errors="replace").splitlines():
                if "this is a bug" in line or "file storage refuses its end" in line:
                    yield f"{path.stem} logged: {line[:2000]}"

    def _of_job(self, row: Any) -> Iterator[str]:
        accepted = self._callers.accepted.get(row.parent_id or row.pk)
        yield from self._of_end(row, accepted)
        yield from self._of_executions(row, bool(accepted and accepted.retries))
        if row.kind == "life.batch":
            yield from self._of_parts(row)

    def _of_end(self, row: Any, accepted: Accepted | None) -> Iterator[str]:
        match row.status:
            case "succeeded":
                if row.kind in FOLLOWERS:
                    return
                if row.result["value"] != _right(row.params):
                    yield f"the result is {row.result}, not {_right(row.params)}"
                if row.kind in CHORES and row.result["token"] != row.token:
                    yield f"the result is of token {row.result['token']}, the row has {row.token}"
                if _is_broken(row.params):
                    yield "it succeeded, though its function always fails"
            case "failed":
                yield from self._of_failure(row)
            case "cancelled":
                if row.cancel_requested_at is None:
                    yield "it was cancelled and nobody asked it to stop"
            case _:
                yield f"it is still {row.status}"
        if row.final and (row.worker or row.due_at or row.lease_until):
            yield "it has ended, and is held or due"
        # A retry by hand forgets the cancel.
        asked = accepted and accepted.asked and not (accepted.retries or row.parent_id)
        if asked and row.cancel_requested_at is None:
            yield "a DELETE was answered while it had not ended, and its row does not know it"

    def _of_failure(self, row: Any) -> Iterator[str]:
        if row.kind == "life.batch" and row.phase == "parts":
            return
        if row.error == "broken on purpose":
            if not row.params["broken"]:
                yield "it failed on purpose, and should not"
            return

        # The last attempt crashed, or it stumbled.
        last = CRASHED.search(row.error) or "ConnectionError" in row.error
        if not last or row.attempts < row.max_attempts:
            yield f"it failed after {row.attempts} attempts: {row.error}"

    def _of_executions(self, row: Any, retried: bool) -> Iterator[str]:
        starts, ends = _executions(row, "start"), _executions(row, "end")
        claims = (row.token + 1) // 2
        if len(starts) != len(set(starts)):
            yield f"a claim was executed twice: tokens {starts}"
        if any(token > row.token for token in starts):
            yield f"tokens {starts} were executed, the row has {row.token}"
        if row.kind in CHORES:
            if len(starts) > claims:
                yield f"{len(starts)} executions of {claims} claims"
            # A retry by hand begins to count again.
            if not retried and not row.attempts <= claims <= row.attempts + self._deploys:
                yield f"{claims} claims, {row.attempts} attempts, {self._deploys} deploys"
            if row.status == "succeeded" and row.token not in ends:
                yield f"its result is of token {row.token}, and {ends} were executed to their end"
        if row.attempts > row.max_attempts:
            yield f"{row.attempts} attempts of {row.max_attempts}"

    def _of_parts(self, row: Any) -> Iterator[str]:
        parts = [each for each in self._rows.values() if each.parent_id == row.pk]
        states = {part.status for part in parts}
        if row.phase and len(parts) != len(row.params["parts"]):
            yield f"it has {len(parts)} parts of {len(row.params['parts'])}"
        if row.status == "succeeded" and states != {"succeeded"}:
            yield f"it succeeded with parts that {states}"
        if not states <= set(FINAL):
            yield f"it is {row.status}, its parts are {states}"
        if row.status == "failed" and row.phase == "parts" and not states & {"failed", "cancelled"}:
            yield "it failed while its parts wait or have succeeded"

    def _of_limit(self) -> Iterator[str]:
        """Executions whose result was taken held a place from their start to their end."""
        changes = []
        for row in self._rows.values():
            if row.kind == "life.limited" and row.status == "succeeded":
                noted = {line: float(at) for line, at in _noted(row)}
                start, end = f"start {row.token}", f"end {row.token}"
                if start in noted and end in noted:
                    changes += [(noted[start], 1), (noted[end], -1)]
        running = 0
        for at, change in sorted(changes):
            running += change
            if running > AT_ONCE:
                yield f"{running} limited jobs ran at {at:.3f}, {AT_ONCE} may"

    def _of_followers(self) -> Iterator[str]:
        """A follower is there exactly once for each end that it follows."""
        told = Counter(row.params["id"] for row in self._rows.values() if row.kind == "life.told")
        for row in self._rows.values():
            if row.then and row.status == "succeeded":
                following = next_job_id(row)
                if following not in self._rows:
                    yield f"job {row.pk} has succeeded and its next job is missing"
            elif row.on_end and row.final:
                accepted = self._callers.accepted.get(row.pk)
                ends = 1 + (accepted.retries if accepted else 0)
                if not 1 <= told[str(row.pk)] <= ends:
                    yield f"job {row.pk} has ended and called back {told[str(row.pk)]} times"

        succeeded = sum(bool(row.then) and row.status == "succeeded" for row in self._rows.values())
        nexts = sum(row.kind == "life.next" for row in self._rows.values())
        discarded = sum(each.discarded for each in self._callers.accepted.values())
        # A job before that was discarded is not counted.
        if not succeeded <= nexts <= succeeded + discarded:
            yield f"{nexts} next jobs of {succeeded} that have succeeded"


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def _right(params: dict[str, Any]) -> int:
    return sum(part["units"] for part in params.get("parts", [params]))


def _is_broken(params: dict[str, Any]) -> bool:
    return any(part["broken"] for part in params.get("parts", [params]))


def _noted(row: Any) -> list[tuple[str, str]]:
    """What a job's executions noted: a line with its token, and its time."""
    log = Path(row.params.get("log", "/nowhere"))
    lines = log.read_text().splitlines() if log.exists() else []
    return [(line.rpartition(" ")[0], line.rpartition(" ")[2]) for line in lines]


def _executions(row: Any, word: str) -> list[int]:
    """The tokens with which a job's function was started, or ended."""
    return [int(line.split()[1]) for line, _ in _noted(row) if line.split()[0] == word]


def _time_of(line: str) -> float:
    """When a log line was written; 0 where it does not say."""
    from django.utils.dateparse import parse_datetime

    found = re.search(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?", line)
    moment = parse_datetime(found[0]) if found else None
    return moment.timestamp() if moment else 0.0
