"""What is measured: each row is a question, with several ways to do the same work."""

from dataclasses import dataclass

# A request of the row `computing` takes so much CPU.
COMPUTING_SECONDS = 0.5
# Row `unbounded`: calls of one request to an API, and how many of them the API serves at once.
MANY = 100
LIMIT = 40
# Row `crowd`: requests at once.
CROWD = 500


@dataclass(frozen=True)
class Way:
    """One way to do a row's work.

    Attributes:
        name: the name of the way.
        path: what its clients ask for.
        clients: how many ask at once.
        amount: milliseconds or rows; None for the rounds that take `COMPUTING_SECONDS` here.
        server: the web process. Ways with the same name share one, and rows with few clients come
            first: threads and connections that one way opens would count for the next one.
        once: each client sends one request, all at the same moment. Otherwise again and again.
        pause: seconds between a client's answer and its next request.
    """

    name: str
    path: str
    clients: int
    amount: int | None
    server: str
    once: bool = False
    pause: float = 0.0


@dataclass(frozen=True)
class Row:
    """One question: `title` names the work; the verdict compares the first two of `ways`."""

    name: str
    title: str
    ways: tuple[Way, ...]

    @property
    def clients(self) -> int:
        """The clients of its busiest way."""
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
    """The same work in an async view, a sync view, `sync_to_async`, a thread pool, and a worker."""
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
    five_ways(
        "computing", f"{COMPUTING_SECONDS} s of computing", clients=2, amount=None, pause=0.5
    ),
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
        f"{MANY} calls per request to an API that serves {LIMIT} at a time",
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
