"""HTTP/1.1 as uvicorn speaks it, with limits: of heads, of time, and of what is sent at once."""

from time import perf_counter
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from offload.problems import Problem
from offload.serving.connection_limits import ConnectionLimits
from offload.serving.http_1_0 import WithoutChunks
from offload.serving.raw_refusals import raw_refusal
from offload.serving.slow_readers import ClientReading, unacknowledged_bytes
from offload.serving.stop_signals import DRAINING
from offload.serving.transport import LingeringTransport
from offload.serving.upgrades import head_of, without_upgrade

# The parser may read this many bytes without coming to the end of a head. h11 has the same limit.
MAX_HEAD_BYTES = 64 * 1024
# So many fields may be in a head. Apache has 100, and browsers with many proxies send some 50.
MAX_HEADERS = 200
# The parser is given this much at once, and nothing while a request waits for the one before it.
# The shortest request has 27 bytes: 256 kB of them at once were 9,362 requests, for which the loop
# stood still for 147 ms.
PARSED_AT_ONCE_BYTES = 4 * 1024
# After this time the loop serves others, and then the rest is parsed. uvloop reads up to 8 MB in
# one iteration. A megabyte in chunks of one byte took 560 ms.
PARSE_SECONDS = 0.002
# So much of what a client sends ahead is kept; then nothing more is read from it.
MAX_UNPARSED_BYTES = 64 * 1024
# After its response a client may send so much more of its request; then the connection is closed.
# As much as the default of `Offload.body_limit`.
MAX_DISCARDED_BYTES = 10 * 1024 * 1024

# What a connection is doing; each phase has its limit of time.
READING_HEAD = "reading a head"
IDLE = "idle"
ANSWERING = "answering"


class HttpProtocol(HttpToolsProtocol):
    """One connection of a client.

    1. A head that is too large, or does not end, is refused.
    2. A client that leaves is reported to the request that is being answered. Of several pipelined
       requests uvicorn tells only the last.
    3. What a client sends ahead of its answers is parsed only when they have been sent.
    4. Fields behind a body (trailers) are no headers (RFC 9110 section 6.5.1).
    5. An upgrade that nobody serves is taken out of the request. One that is served waits for the
       answers before it.
    6. A client may not keep the connection waiting: see `check_time`.
    7. What takes long to parse is parsed in several iterations of the loop.
    8. A client of HTTP/1.0 is sent no chunks.

    Args:
        limits: those of all connections of the process.
    """

    transport: Any
    # The parser is None once the connection is lost.
    parser: Any

    def __init__(self, *arguments: Any, limits: ConnectionLimits, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._limits = limits
        self._bytes_since_head = 0
        self._is_in_head = False
        self._unparsed = bytearray()
        # Nothing that arrives is parsed any more, since the connection is about to close.
        self._discards = False
        self._discarded_bytes = 0
        self._declines_upgrade = False
        # The request that is being answered; `self.cycle` is the one that was received last.
        self._answering: Any = None
        self._phase = READING_HEAD
        self._phase_since = self.loop.time()
        self._closing_since: float | None = None
        self._reading = ClientReading()

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

    def _tell_that_the_client_left(self) -> None:
        if self._is_answering():
            self._answering.disconnected = True
            self._answering.message_event.set()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._answering = cycle
        if cycle.scope["http_version"] < "1.1":
            app = WithoutChunks(app, cycle)
        super()._start_asgi_task(cycle, app)

    # --- what arrives ---

    def data_received(self, data: bytes) -> None:
        """The client has sent something."""
        if self._discards or self._has_last_request():
            self._discard(data)
        elif self._has_to_wait():
            self._keep(data)
        else:
            self._parse_in_parts(data)
            if self._phase is IDLE and self._is_in_head:
                self._begin(READING_HEAD)

    def _parse_in_parts(self, data: bytes) -> None:
        """Parse the data, until others have to have their turn.

        These are a request before the next one, and other connections.
        """
        if len(data) <= PARSED_AT_ONCE_BYTES:
            self._parse(data)
            return

        until = perf_counter() + PARSE_SECONDS
        for start in range(0, len(data), PARSED_AT_ONCE_BYTES):
            if self._discards or self._has_last_request():
                self._discard(data[start:])
                return
            if self._has_to_wait():
                self._keep(data[start:])
                return
            end = start + PARSED_AT_ONCE_BYTES
            self._parse(data[start:end])
            if end < len(data) and perf_counter() > until:
                self._keep(data[end:])
                self.flow.pause_reading()
                self.loop.call_soon(self._parse_on)
                return

    def _parse_on(self) -> None:
        """Others have had their turn."""
        if self.pipeline or self.transport.is_closing():
            return
        self._parse_kept()
        is_body_large = self.cycle is not None and len(self.cycle.body) > HIGH_WATER_LIMIT
        if not (self._unparsed or is_body_large):
            self.flow.resume_reading()

    def _parse(self, data: bytes) -> None:
        self._bytes_since_head += len(data)
        behind_upgrade: bytes | None = None
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            behind_upgrade = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            # A callback of this class has raised the problem; else the parser is at a loss.
            problem = error.__context__
            if not isinstance(problem, Problem):
                problem = Problem(400, "This is no HTTP/1.1 request. Send one that is.")
            self._refuse(problem)
            return

        if behind_upgrade is not None:
            # Parsed here, since the context of an error that is raised in a handler is another one.
            self._upgrade(behind_upgrade)
        if self._bytes_since_head > MAX_HEAD_BYTES and not self._discards:
            self._refuse_head()

    def _has_to_wait(self) -> bool:
        """Whether what arrives is kept, until a request or an upgrade has had its turn."""
        return bool(self.pipeline or self._unparsed)

    def _keep(self, data: bytes) -> None:
        """Parse this later. The client is still seen to leave, unless it has sent very much."""
        self._unparsed += data
        if len(self._unparsed) > MAX_UNPARSED_BYTES:
            self.flow.pause_reading()

    def _parse_kept(self) -> None:
        if self._unparsed:
            unparsed, self._unparsed = bytes(self._unparsed), bytearray()
            self.data_received(unparsed)

    def _has_last_request(self) -> bool:
        """Whether the connection ends with a request that was received whole."""
        return self.cycle is not None and not (self.cycle.keep_alive or self.cycle.more_body)

    def _discard(self, data: bytes) -> None:
        self._discards = True
        self._discarded_bytes += len(data)
        if self._discarded_bytes > MAX_DISCARDED_BYTES:
            self.transport.abort()
        elif unacknowledged_bytes(self.transport.get_extra_info("socket")):
            # It still sends and has not read all: its time begins anew.
            self._closing_since = None

    def _upgrade(self, rest: bytes) -> None:
        """Change the protocol if it is served; else read the request as if it had not asked.

        An upgrade waits for the answer before it, which would get into the other protocol.

        Args:
            rest: what the client sent behind the head.
        """
        declines, self._declines_upgrade = self._declines_upgrade, False
        if not declines and not self._is_answering():
            self.handle_websocket_upgrade()
            return

        headers = without_upgrade(self.headers) if declines else self.headers
        head = head_of(self.parser.get_method(), self.url, self.parser.get_http_version(), headers)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        if declines:
            self._parse_in_parts(head + rest)
        else:
            self._keep(head + rest)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection to the protocol of WebSockets, which counts it from now on."""
        # What came with its head is not parsed: the client had to wait.
        self._discards = True
        self._limits.remove(self)
        self.transport = self.transport.unwrap()
        super().handle_websocket_upgrade()

    # --- what the parser has read ---

    def on_message_begin(self) -> None:
        """The parser has read the first byte of a head."""
        super().on_message_begin()
        self._is_in_head = True

    def on_headers_complete(self) -> None:
        """The parser has read a head."""
        self._bytes_since_head = 0
        self._is_in_head = False
        if self.parser.should_upgrade():
            self._check_tunnel()
            if not self._should_upgrade():
                self._declines_upgrade = True
                return
            super().on_headers_complete()
            return

        if len(self.headers) > MAX_HEADERS:
            raise Problem(431, f"The request has more than {MAX_HEADERS} headers: send fewer.")
        super().on_headers_complete()
        # What comes later is no header of this request: its scope keeps the list.
        self.headers = []
        if self._limits.stopping or DRAINING in self.app_state:
            self.cycle.keep_alive = False
        if self.pipeline:
            # Else nobody would see that the client leaves.
            self.flow.resume_reading()
        self._phase = ANSWERING
        self._limits.idle.pop(self, None)

    def _check_tunnel(self) -> None:
        if self.parser.get_method() == b"CONNECT":
            raise Problem(405, "This service is no proxy: CONNECT is not served.")

    def on_body(self, body: bytes) -> None:
        """The parser has read a piece of a body."""
        self._bytes_since_head = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The parser has read a request to its end."""
        if not self._declines_upgrade:
            super().on_message_complete()

    # --- what is answered ---

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

    def _refuse(self, problem: Problem) -> None:
        """Answer with a problem and close. Where a response is awaited, it is sent before."""
        if not self._may_answer():
            self._discards = True
            return

        self.transport.write(raw_refusal(problem, self.server_state.default_headers))
        self._tell_that_the_client_left()
        self._discards = True
        self.transport.close()

    def _refuse_head(self) -> None:
        """Answer 431 and close, or only close where the answer would get into another one."""
        self.logger.warning(
            "A client's request head (or trailers) had no end after %d bytes: the connection is "
            "closed.",
            self._bytes_since_head,
        )
        if self._may_answer():
            self._refuse(
                Problem(
                    431,
                    f"The request's head is larger than {MAX_HEAD_BYTES} bytes: "
                    "send less in its headers.",
                )
            )
        else:
            self.transport.abort()

    def _is_answering(self) -> bool:
        return self._answering is not None and not self._answering.response_complete

    def _may_answer(self) -> bool:
        """Whether the next bytes to the client would be the answer to what it sends now."""
        if not self._is_answering():
            return True

        answering = self._answering
        is_in_trailers = answering is self.cycle and answering.more_body
        return is_in_trailers and not answering.response_started

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
        and a response may take, `body_timeout.py` and `request_timeout.py` decide.
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

    def evict(self) -> None:
        """Close at once: the process needs the place of this connection."""
        self.transport.abort()

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
        """Discard what the client sends from now on, if it may still send something.

        It may until it has read its answer (RFC 9112 section 9.6).

        Returns:
            Whether it may.
        """
        is_in_body = self.cycle is not None and self.cycle.more_body
        if not (self._discards or is_in_body or self._is_sending()):
            return False
        self._discards = True
        self.flow.resume_reading()
        return True
