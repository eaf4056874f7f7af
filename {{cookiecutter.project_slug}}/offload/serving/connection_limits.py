"""How many connections a process has open, and how long each may keep it waiting."""

import asyncio
import logging
import resource
import sys
from pathlib import Path
from typing import Protocol

from offload.conf import Offload
from offload.observe.live_gauges import show_gauge
from offload.serving import metrics
from offload.serving.sweeps import Sweeps

logger = logging.getLogger("offload.serving")

# After the response the client may go on sending, or read, for this time; then the connection is
# closed. nginx's `lingering_timeout` is 5 s, too.
CLOSE_TIMEOUT_SECONDS = 5.0
# During a stop a client that reads nothing does not hold the process for the whole write timeout.
STOP_WRITE_TIMEOUT_SECONDS = 2.0
# The same for a kept connection, whose next request may be on its way, and for a client that does
# not close what this side has closed.
STOP_IDLE_SECONDS = 1.0
# A process opens files that are no clients: the database, Redis, upstreams, logs. It keeps a
# quarter of what the system allows for them, and no more than this unless it needs more.
MAX_RESERVED_FILES = 1000


class Connection(Protocol):
    """What this module asks of a connection."""

    def check_time(self, now: float) -> None:
        """Close the connection if a time limit is over. `now` is the loop's time, in seconds."""

    def evict(self) -> None:
        """Close the connection at once: another one needs its place."""


class ConnectionLimits:
    """The open connections of a process and their limits.

    Args:
        conf: the time limits, in seconds.
        max_connections: so many may be open at once.

    Attributes:
        idle: connections without a request, the one that waits longest first. They give way to new
            ones if there are too many.
        stopping: set when the server closes: nobody is waited for longer than necessary.
    """

    def __init__(self, conf: Offload, max_connections: int) -> None:
        self.max_connections = max_connections
        self.head_timeout = conf.head_timeout
        self.keep_alive_timeout = conf.keep_alive_timeout
        # Of a WebSocket: until its handshake is answered, and until its application has ended after
        # its client has left.
        self.answer_timeout = conf.request_timeout
        self.close_timeout = CLOSE_TIMEOUT_SECONDS
        self.write_timeout = conf.write_timeout
        self.write_min_rate = conf.write_min_rate
        self.open: set[Connection] = set()
        self.idle: dict[Connection, None] = {}
        self.stopping = False
        self._sweeps = Sweeps()
        self._sweeps.add(lambda _: self._check_all(asyncio.get_running_loop().time()))
        self._sweeping: asyncio.Task[None] | None = None
        show_gauge(metrics.CONNECTIONS, lambda: len(self.open))

    def admit(self, connection: Connection) -> bool:
        """Count a new connection, in the place of an idle one if need be.

        Returns:
            False if there are too many, and none of them is idle.
        """
        is_admitted = len(self.open) < self.max_connections or self._evict_one()
        self.open.add(connection)
        if is_admitted:
            self.idle[connection] = None
        return is_admitted

    def take_over(self, connection: Connection) -> None:
        """Count the new protocol of a connection that was admitted before."""
        self.open.add(connection)

    def remove(self, connection: Connection) -> None:
        """The connection is lost, or has another protocol now."""
        self.open.discard(connection)
        self.idle.pop(connection, None)

    def stop(self) -> None:
        """The server closes: the limits of a stop hold from now on."""
        self.stopping = True
        self.keep_alive_timeout = min(self.keep_alive_timeout, STOP_IDLE_SECONDS)
        self.head_timeout = min(self.head_timeout, STOP_IDLE_SECONDS)
        self.close_timeout = STOP_IDLE_SECONDS
        self.write_timeout = min(self.write_timeout, STOP_WRITE_TIMEOUT_SECONDS)

    def sweep(self) -> None:
        """Close the connections whose time is over, from now on."""
        self._sweeping = asyncio.get_running_loop().create_task(self._sweeps.run())

    def _check_all(self, now: float) -> None:
        for connection in tuple(self.open):
            try:
                connection.check_time(now)
            except Exception:
                logger.exception("A connection could not be checked; it is closed.")
                connection.evict()

    async def end(self) -> None:
        """Look no more."""
        if self._sweeping is not None:
            await self._sweeps.stop(self._sweeping)

    def _evict_one(self) -> bool:
        if not self.idle:
            return False
        longest_idle = next(iter(self.idle))
        del self.idle[longest_idle]
        longest_idle.evict()
        return True


def allowed_connections(wanted: int, database_connections: int) -> int:
    """As many connections as the process may open files for, after raising its limit of files.

    A process that has no file left accepts nobody: not even a probe. So it refuses before.

    Args:
        wanted: the setting.
        database_connections: so many files the requests may open themselves.

    Raises:
        SystemExit: there are not enough files for a single connection.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):
            # macOS allows less than it says. The lower limit stays.
            logger.info("The limit of open files stays at %d: the system allows no more.", soft)
    if soft == resource.RLIM_INFINITY:
        return wanted

    needed = len(list(Path("/dev/fd").iterdir())) + database_connections
    possible = soft - max(needed, min(soft // 4, MAX_RESERVED_FILES))
    if possible < 1:
        sys.exit(
            f"The process may open {soft} files, and needs {needed} without its clients. "
            "Raise `ulimit -n` (LimitNOFILE= in systemd)."
        )
    if possible < wanted:
        logger.warning(
            "%d connections may be open at once instead of %d: the process may open %d files. "
            "Raise `ulimit -n` (LimitNOFILE= in systemd).",
            possible,
            wanted,
            soft,
        )
    return min(wanted, possible)
