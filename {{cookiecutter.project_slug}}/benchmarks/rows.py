"""What is measured: a row a question, its ways side by side."""

from dataclasses import dataclass

# Seconds of CPU a request of the computing row takes.
COMPUTING = 0.5
# Calls of one request to an API, in the row of unbounded fan-out.
MANY = 100
# Of them that the API serves at a time.
LIMIT = 40
# Requests at once.
CROWD = 500


@dataclass(frozen=True)
class Way:
    """One way to do a row's work.

    `server`: ways of the same name share a web process, rows with few clients first. What one fills
    with threads and connections would spoil another's count. `amount`: milliseconds or rows; None
    for the rounds that take `COMPUTING` seconds here.
    """

    name: str
    path: str
    clients: int
    amount: int | None
    server: str
    once: bool = False
    """Each client asks once, all at the same moment; otherwise again and again."""
    pause: float = 0.0
    """Seconds between a client's answer and its next request."""


@dataclass(frozen=True)
class Row:
    """One question: `title` names the work, `ways` start with the two that the verdict compares."""

    name: str
    title: str
    ways: tuple[Way, ...]

    @property
    def clients(self) -> int:
        """Of its busiest way."""
        return max(way.clients for way in self.ways)


FIVE_WAYS = ("async", "sync", "sync_to_async", "threads", "worker")


def five_ways(
    name: str,
    title: str,
    clients: int,
    amount: int | None,
    pause: float = 0.0,
    loop_server: str = "async",
) -> Row:
    """The same work in an async view, a sync view, behind `sync_to_async`, in a thread pool, in a
    worker.
    """
    servers = {"async": loop_server}
    return Row(
        name,
        title,
        tuple(
            Way(
                way, f"/api/bench/{name}/{way}", clients, amount, servers.get(way, way), pause=pause
            )
            for way in FIVE_WAYS
        ),
    )


WORKS = (
    five_ways("waiting", "Waiting on ten APIs of 50 ms", clients=8, amount=50),
    five_ways("orm", "Three ORM queries", clients=8, amount=20, loop_server="queries"),
    five_ways("computing", f"{COMPUTING} s of computing", clients=2, amount=None, pause=0.5),
)
MISTAKES = (
    Row(
        "middleware",
        "64 requests waiting for an API, with one sync-only middleware",
        (
            Way("async-native", "/api/bench/one", 64, 50, "async"),
            Way("sync-only", "/pages/bench/one", 64, 50, "sync-only"),
        ),
    ),
    Row(
        "blocking",
        "One blocking call of 200 ms in one async view",
        (
            Way("awaited", "/api/bench/sleeping", 1, 200, "async", pause=0.3),
            Way("blocking", "/api/bench/blocking", 1, 200, "async", pause=0.3),
        ),
    ),
    Row(
        "unbounded",
        f"{MANY} calls a request to an API that serves {LIMIT} at a time",
        (
            Way("bounded", "/api/bench/bounded", 4, 20, "async"),
            Way("unbounded", "/api/bench/unbounded", 4, 20, "async"),
        ),
    ),
    Row(
        "held",
        "40 requests that query, then wait 300 ms",
        (
            Way("released", "/api/bench/released", 40, 300, "queries"),
            Way("held", "/api/bench/held", 40, 300, "held"),
        ),
    ),
    Row(
        "crowd",
        f"{CROWD} requests at once, each waiting 50 ms for an API",
        (
            Way("async", "/api/bench/one", CROWD, 50, "async", once=True),
            Way("sync", "/api/bench/one_sync", CROWD, 50, "sync", once=True),
        ),
    ),
)
ROWS = (*WORKS, *MISTAKES)
