"""One HTTP/1.1 connection: its place among all of them, its answers, and its limits of time."""

from typing import Any

from offload.problems import Problem
from offload.serving.connection_limits import ConnectionLimits
from offload.serving.http_1_0 import WithoutChunks
from offload.serving.http_input import HttpInput
from offload.serving.lingering_transport import LingeringTransport
from offload.serving.raw_refusals import raw_refusal
from offload.serving.slow_readers import ClientReading, unacknowledged_bytes
from offload.serving.stop_signals import DRAINING

# What a connection is doing; each phase has its limit of time.
READING_HEAD = "reading a head"
IDLE = "idle"
ANSWERING = "answering"


class HttpProtocol(HttpInput):
    """One connection of a client. What the client sends is limited by `HttpInput`.

    1. The connection has a place among all of the process, or is refused.
    2. A client that leaves is reported to the request that is being answered. Of several pipelined
       requests uvicorn tells only the last.
    3. A client may not keep the connection waiting: see `check_time`.
    4. A client of HTTP/1.0 is sent no chunks.

    Args:
        limits: those of all connections of the process.
    """

    def __init__(self, *arguments: Any, limits: ConnectionLimits, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._limits = limits
        self._phase = READING_HEAD
        self._phase_since = self.loop.time()
        self._reading = ClientReading()

    # --- its place ---

    def connection_made(self, transport: Any) -> None:
        """A client has connected."""
        super().connection_made(self._wrap(transport))
        if not self._limits.admit(self):
            too_many = "This process has too many open connections. Try again in a moment."
            problem = Problem(503, too_many, headers={"Retry-After": "1"})
            self.transport.write(raw_refusal(problem, self.server_state.default_headers))
            self._discards = True
            # Closed without waiting for the client: its file is what there are too few of.
            self.transport.unwrap().close()

    def _wrap(self, transport: Any) -> Any:
        """The transport that this protocol writes to."""
        return LingeringTransport(transport, self._begin_to_linger)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left."""
        self._limits.remove(self)
        self.transport.forget_protocol()
        super().connection_lost(exc)
        self._unparsed.clear()
        self._tell_that_the_client_left()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection to the protocol of WebSockets, which counts it from now on."""
        # What came with its head is not parsed: the client had to wait.
        self._discards = True
        self._limits.remove(self)
        self.transport = self.transport.unwrap()
        super().handle_websocket_upgrade()

    def evict(self) -> None:
        """Close at once: the process needs the place of this connection."""
        self.transport.abort()

    # --- its requests and their answers ---

    def data_received(self, data: bytes) -> None:
        """The client has sent something; with the first byte of a head its time begins."""
        super().data_received(data)
        if self._phase is IDLE and self._is_in_head:
            self._begin(READING_HEAD)

    def _on_request(self) -> None:
        if self._limits.stopping or DRAINING in self.app_state:
            self.cycle.keep_alive = False
        self._phase = ANSWERING
        self._limits.idle.pop(self, None)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._answering = cycle
        if cycle.scope["http_version"] < "1.1":
            app = WithoutChunks(app, cycle)
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """A response was sent: wait for the next request, or answer one that is here already."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return

        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._discards or self.cycle.more_body:
            # The client sends what nobody will read: it would wait for an answer in vain.
            self.transport.close()
            return
        else:
            self._begin(READING_HEAD if self._is_in_head else IDLE)

        if not self.pipeline:
            self._parse_kept()

    # --- time ---

    def _begin(self, phase: str) -> None:
        self._phase = phase
        self._phase_since = self.loop.time()
        if phase is IDLE:
            self._limits.idle[self] = None

    def check_time(self, now: float) -> None:
        """Close the connection if its client keeps it waiting.

        Four cases: 1. the client reads too little of what was sent; 2. it sends no head; 3. it
        sends no further request; 4. it does not close what this side has closed. How long a body
        and a response may take, `request_body.py` and `load_shedding.py` decide.
        """
        waited = now - self._phase_since
        if self._reading.is_too_slow(
            self.transport, now, self._limits.write_timeout, self._limits.write_min_rate
        ):
            self.transport.abort()
        elif self.transport.is_closing():
            self._closing_since = self._closing_since or now
            is_over = now - self._closing_since > self._limits.close_timeout
            # What the kernel has, it goes on sending.
            if is_over and not self.transport.get_write_buffer_size():
                self.transport.abort()
            elif not self._reading.unsent_bytes:
                # Its client has the whole answer: it gives way to a new connection.
                self._limits.idle[self] = None
        elif self._phase is READING_HEAD and waited > self._limits.head_timeout:
            self._give_up_on_head()
        elif self._phase is IDLE and waited > self._limits.keep_alive_timeout:
            self.transport.close()

    def _give_up_on_head(self) -> None:
        if self._is_in_head:
            seconds = self._limits.head_timeout
            self._refuse(
                Problem(408, f"The request's head took longer than {seconds:g} s: send it at once.")
            )
        else:
            # A connection that was opened and never used. A browser would take a 408 for the
            # answer to its next request.
            self.transport.close()

    # --- its end ---

    def shutdown(self) -> None:
        """The server closes. A request that is on its way is still answered."""
        if self._phase is ANSWERING and self.cycle is not None:
            self.cycle.keep_alive = False
        else:
            # The limits of a stop are short.
            self._phase_since = self.loop.time()

    def _is_sending(self) -> bool:
        held = self.transport.get_write_buffer_size()
        return bool(held or unacknowledged_bytes(self.transport.get_extra_info("socket")))

    def _begin_to_linger(self) -> bool:
        """Whether the client may still send something; what it sends is discarded from now on.

        It may until it has read its answer (RFC 9112 section 9.6).
        """
        is_in_body = self.cycle is not None and self.cycle.more_body
        if not (self._discards or is_in_body or self._is_sending()):
            return False
        self._discards = True
        self.flow.resume_reading()
        return True
