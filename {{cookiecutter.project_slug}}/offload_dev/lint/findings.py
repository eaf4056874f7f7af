"""The numbers: what each finding of the written net says, what to write instead, and how sure it
is.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

DOCS = "docs/guard/"


@dataclass(frozen=True)
class Rule:
    """One number. `likely` rules warn; the others are errors."""

    what: str
    instead: str
    likely: bool = False


AREAS = {
    "0": "guard",
    "1": "waiting",
    "2": "computing",
    "3": "jobs",
    "4": "fan-out",
    "5": "tasks",
    "6": "rooms",
}

RULES = {
    "OFF001": Rule(
        "cannot be read", "fix the syntax, or run the guard on the project's own Python"
    ),
    "OFF002": Rule("a waiver without a reason", "write `# offload: allow OFF…: the reason`"),
    "OFF003": Rule("a waiver that waives nothing", "delete it", likely=True),
    "OFF101": Rule(
        "queries the database on the event loop",
        "await the a-method, or one function in sync_to_async",
    ),
    "OFF102": Rule(
        "is a query in disguise", "`await request.auser()`, `select_related()`, or the `_id` column"
    ),
    "OFF103": Rule(
        "blocks the event loop",
        "the async variant; for another service an `Upstream`; else a thread",
    ),
    "OFF104": Rule(
        "opens a transaction in async code",
        "one sync function with `atomic`, called by sync_to_async",
    ),
    "OFF105": Rule(
        "waits for a thread on the event loop", "asyncio's own Lock, Queue or run_in_executor"
    ),
    "OFF106": Rule("starts a loop inside the loop", "await the coroutine itself"),
    "OFF107": Rule(
        "hides an async function behind a sync decorator", "a decorator whose wrapper is async"
    ),
    "OFF108": Rule("streams from a sync iterator, which is read whole first", "an async generator"),
    "OFF109": Rule(
        "waits for a query that waits for this very thread", "an async view, or `async_to_sync`"
    ),
    "OFF201": Rule("computes on the event loop", "submit a job; hash a password in a thread"),
    "OFF202": Rule("loops for long on the event loop", "submit a job"),
    "OFF203": Rule("computes in a thread, which holds the GIL against the loop", "submit a job"),
    "OFF204": Rule(
        "makes a pool for one request", "submit a job; for waiting, one pool of the process"
    ),
    "OFF205": Rule(
        "parses a body of any size on the loop", "a typed parameter of the endpoint", likely=True
    ),
    "OFF301": Rule("publishes to the broker on the event loop", "`await submit(job, params)`"),
    "OFF302": Rule(
        "asks the result backend on the event loop", "read the job's row, or its event stream"
    ),
    "OFF303": Rule(
        "runs a task here and now", "submit it, or call the plain function that it wraps"
    ),
    "OFF304": Rule("is a task that is a coroutine", "a plain function: a worker computes"),
    "OFF305": Rule("waits for a task inside a task", "a chain or chord, or a job of several parts"),
    "OFF306": Rule(
        "publishes before the commit", "`transaction.on_commit`, or `submit` in the transaction"
    ),
    "OFF401": Rule(
        "gathers without limit, and goes on after an error",
        "fanout.gather, or a TaskGroup",
        likely=True,
    ),
    "OFF402": Rule(
        "gathers queries, which run one after the other", "one query for all, or await them in turn"
    ),
    "OFF403": Rule("builds a client for one request", "an `Upstream`, opened by the lifespan"),
    "OFF404": Rule(
        "keeps an async client at module level", "an `Upstream`, opened by the lifespan"
    ),
    "OFF405": Rule("waits without a limit", "a timeout, and a deadline around the whole call"),
    "OFF501": Rule(
        "starts a task that nobody keeps", "a TaskGroup; for work after the answer, a job"
    ),
    "OFF502": Rule(
        "starts a task that outlives the request", "a TaskGroup; else a job", likely=True
    ),
    "OFF503": Rule("swallows the cancellation", "catch Exception, or raise again"),
    "OFF504": Rule("is never awaited", "await it"),
    "OFF505": Rule(
        "starts a thread for one request", "asyncio.to_thread to wait, a job to compute"
    ),
    "OFF601": Rule(
        "brings another room into api.py", "upstreams.py to call out, jobs.py to compute"
    ),
    "OFF602": Rule(
        "brings another room into upstreams.py", "declare upstreams there, and nothing else"
    ),
    "OFF603": Rule("brings another room into compute.py", "plain functions in, plain data out"),
    "OFF604": Rule("brings another room into jobs.py", "import compute inside the job's body"),
}


@dataclass(frozen=True, order=True)
class Finding:
    """One place that breaks a rule.

    Args:
        path: relative to what was graded.
        line: counted from 1.
        chain: the calls from the event loop to what stops it, each `path:line function`; empty for
            a line of its own.
    """

    path: str
    line: int
    rule: str
    subject: str = ""
    chain: tuple[str, ...] = ()
    doubtful: bool = field(default=False, compare=False)

    @property
    def severity(self) -> str:
        return "warning" if self.doubtful or RULES[self.rule].likely else "error"

    @property
    def area(self) -> str:
        return AREAS[self.rule[3]]

    @property
    def message(self) -> str:
        return f"{self.subject} {RULES[self.rule].what}".strip()

    def as_json(self) -> dict[str, Any]:
        """The shape that `--json` prints."""
        written = asdict(self) | {"message": self.message, "instead": RULES[self.rule].instead}
        names = ("rule", "path", "line", "message", "instead", "chain")
        return {name: written[name] for name in names} | {
            "severity": self.severity,
            "docs": f"{DOCS}{self.rule}.md",
        }


def place(path: Path, root: Path) -> str:
    """A file's name as findings write it."""
    return (
        path.relative_to(root).as_posix()
        if path.is_relative_to(root) and path != root
        else path.as_posix()
    )


def grades(findings: list[Finding]) -> dict[str, str]:
    """A letter for each area: A nothing, B warnings only, C up to two errors, D up to nine, F more."""
    letters = {}
    for area in AREAS.values():
        severities = [finding.severity for finding in findings if finding.area == area]
        errors = severities.count("error")
        letters[area] = (
            "F"
            if errors > 9
            else "D"
            if errors > 2
            else "C"
            if errors
            else "B"
            if severities
            else "A"
        )
    return letters
