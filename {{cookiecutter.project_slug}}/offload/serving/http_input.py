"""What a client sends over HTTP/1.1: when it is parsed, how much of it, and what is refused."""

from time import perf_counter
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from offload.problems import Problem
from offload.serving.raw_refusals import raw_refusal
from offload.serving.slow_readers import unacknowledged_bytes
from offload.serving.upgrades import head_of, without_upgrade

# The parser may read this many bytes without coming to the end of a head. h11 has the same limit.
MAX_HEAD_BYTES = 64 * 1024
# The path and the query. nginx takes no more, either. Logs and errors repeat them: a path of 60 kB
# in the admin was 120 kB of the log.
MAX_TARGET_BYTES = 8 * 1024
# A head has no more fields. Apache has 100, and browsers with many proxies send some 50.
MAX_HEADERS = 200
# The parser is given this much at once, and nothing while a request waits for the one before it.
# The shortest request has 27 bytes: 256 kB of them at once were 9,362 requests, for which the loop
# stood still for 147 ms.
PARSED_AT_ONCE_BYTES = 4 * 1024
# After this time the loop serves others, and then the rest is parsed. uvloop reads up to 8 MB in
# one iteration. A megabyte in chunks of one byte took 560 ms.
PARSE_SECONDS = 0.002
# This much of what a client sends ahead is kept; then nothing more is read from it.
MAX_UNPARSED_BYTES = 64 * 1024
# After its response a client may send this much more of its request; then the connection is closed.
# As much as the default of `Offload.body_limit`.
MAX_DISCARDED_BYTES = 10 * 1024 * 1024


class HttpInput(HttpToolsProtocol):
    """uvicorn's protocol, with limits on what a client sends.

    1. A head that is too large, or does not end, is refused.
    2. What a client sends ahead of its answers is parsed only when they have been sent.
    3. What takes long to parse is parsed in several iterations of the loop.
    4. Fields behind a body (trailers) are no headers (RFC 9110 section 6.5.1).
    5. An upgrade that nobody serves is taken out of the request. One that is served waits for the
       answers before it.
    """

    transport: Any
    # The parser is None once the connection is lost.
    parser: Any

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._bytes_since_head = 0
        self._is_in_head = False
        self._unparsed = bytearray()
        # Nothing that arrives is parsed any more, since the connection is about to close.
        self._discards = False
        self._discarded_bytes = 0
        # Since when the client does not close what this side has closed (the loop's time).
        self._closing_since: float | None = None
        self._declines_upgrade = False
        # The request that is being answered; `self.cycle` is the one that was received last.
        self._answering: Any = None

    # --- what arrives ---

    def data_received(self, data: bytes) -> None:
        """The client has sent something."""
        if self._discards or self._has_last_request():
            self._discard(data)
        elif self._has_to_wait():
            self._keep(data)
        else:
            self._parse_in_parts(data)

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

    # --- what the parser has read ---

    def on_message_begin(self) -> None:
        """The parser has read the first byte of a head."""
        super().on_message_begin()
        self._is_in_head = True

    def on_headers_complete(self) -> None:
        """The parser has read a head."""
        self._bytes_since_head = 0
        self._is_in_head = False
        if len(self.url) > MAX_TARGET_BYTES:
            raise Problem(
                414,
                f"The path and the query are longer than {MAX_TARGET_BYTES} bytes: send less in "
                "them, or a body.",
            )
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise Problem(405, "This service is no proxy: CONNECT is not served.")
            # A client of HTTP/1.0 knows no upgrade (RFC 9110 section 7.8).
            if self.parser.get_http_version() < "1.1" or not self._should_upgrade():
                self._declines_upgrade = True
                return
            super().on_headers_complete()
            return

        if len(self.headers) > MAX_HEADERS:
            raise Problem(431, f"The request has more than {MAX_HEADERS} headers: send fewer.")
        super().on_headers_complete()
        # What comes later is no header of this request: its scope keeps the list.
        self.headers = []
        if self.pipeline:
            # Else nobody would see that the client leaves.
            self.flow.resume_reading()
        self._on_request()

    def _on_request(self) -> None:
        """Called for each request, `self.cycle`, when its head has been read."""

    def on_body(self, body: bytes) -> None:
        """The parser has read a piece of a body."""
        self._bytes_since_head = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The parser has read a request to its end."""
        if not self._declines_upgrade:
            super().on_message_complete()

    # --- what is refused ---

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

    def _tell_that_the_client_left(self) -> None:
        if self._is_answering():
            self._answering.disconnected = True
            self._answering.message_event.set()
