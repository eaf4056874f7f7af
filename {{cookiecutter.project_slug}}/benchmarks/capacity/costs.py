"""What one of each thing costs, from a file of figures."""

import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

FIGURES = Path(__file__).with_name("costs.toml")


@dataclass(frozen=True, kw_only=True)
class Costs:
    """CPU in milliseconds, of the process that a table of the file names.

    Args:
        web_idle: of a web process in a second without requests.
        request: a request with a token, whose view answers at once.
        query: a query of a request, with its thread.
        row: a row of some ten columns that a query reads, and the answer holds as a typed model.
        call: an upstream call, with its part of the `gather`.
        submit: a submit, its publishing included; without its request.
        event: an event of a job, for one stream that watches the job.
        event_seen: an event of a job that nobody watches, for each web process.
        web_mixture: how many times as much the things above cost when all kinds come in turns,
            which leaves the caches of the CPU cold; without `web_idle` and `event_seen`.
        web_mb: memory of a web process in MB.
        stream_kb: memory of an open event stream in kB.
        worker_idle: of a worker in a second without jobs.
        job: a job in its worker, besides what its function computes.
        renewal: of a worker for a process that computes, has done its number of jobs, and is
            replaced by a new one: its end, the fork, its first connections.
        report: a report of progress, its event included.
        worker_mixture: as `web_mixture`, for a job and its renewals and reports.
        worker_mb: memory of a worker's main process in MB.
        process_mb: memory of each process that computes in MB.
        redis_job: of Redis for a job, its messages and events included.
        redis_send: of Redis for an event that it sends to one web process.
        redis_count: of Redis for a request that a quota counts; the web process's part is `count`.
        count: a request that a quota counts.
        statement: of PostgreSQL for a statement of the request path or of a job.
        row_kb: disk for the row of a job in kB, indexes included.
    """

    web_idle: float
    request: float
    query: float
    row: float
    call: float
    submit: float
    event: float
    event_seen: float
    web_mixture: float
    web_mb: float
    stream_kb: float
    worker_idle: float
    job: float
    renewal: float
    report: float
    worker_mixture: float
    worker_mb: float
    process_mb: float
    redis_job: float
    redis_send: float
    redis_count: float
    count: float
    statement: float
    row_kb: float

    @classmethod
    def read(cls, path: Path = FIGURES) -> "Costs":
        """The figures of a file. Its tables are for the reader; names are unique in all of them.

        Raises:
            TypeError: a figure is missing, or is not known.
        """
        tables = tomllib.loads(path.read_text())
        found = {
            name: value
            for table in tables.values()
            if isinstance(table, dict)
            for name, value in table.items()
        }
        return cls(**found)

    def write(self, path: Path, source: str) -> None:
        """Write a file that `read` reads."""
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{name} = {value:.4g}" for name, value in asdict(self).items()]
        path.write_text("\n".join([f"# {source}", "[costs]", *lines]) + "\n")
