"""HTTP as uvicorn speaks it, with two rules more: a bounded head, and pipelined disconnects."""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# The parser may read this many bytes without coming to the end of a head. h11 has the same limit.
MAX_HEAD_BYTES = 64 * 1024


class HttpProtocol(HttpToolsProtocol):
    """One connection of a client.

    1. A head that does not end is refused: the parser copies it anew with each packet.
    2. A client that leaves is reported to the request that is being answered. Of several pipelined
       requests uvicorn tells only the last.
    """

    transport: Any

    def connection_made(self, transport: Any) -> None:
        """A client has connected."""
        super().connection_made(transport)
        self._bytes_since_head = 0
        # The request that is being answered; `self.cycle` is the one that was received last.
        self._answering: Any = None

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left."""
        super().connection_lost(exc)
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True
            self._answering.message_event.set()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        """The client has sent something."""
        self._bytes_since_head += len(data)
        super().data_received(data)
        if self._bytes_since_head > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse_head()

    def _refuse_head(self) -> None:
        """Answer 400 and close, or only close where the answer would get into another one."""
        self.logger.warning(
            "A client's request head (or trailers) had no end after %d bytes: the connection is "
            "closed.",
            self._bytes_since_head,
        )
        if self._may_answer():
            self.send_400_response(
                f"The request's head is larger than {MAX_HEAD_BYTES} bytes: "
                "send less in its headers."
            )
        else:
            self.transport.close()

    def _may_answer(self) -> bool:
        """Whether the next bytes to the client would be the answer to what it sends now."""
        answering = self._answering
        if answering is None or answering.response_complete:
            return True

        is_in_trailers = answering is self.cycle and answering.more_body
        return is_in_trailers and not answering.response_started

    def on_headers_complete(self) -> None:
        """The parser has read a head."""
        self._bytes_since_head = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """The parser has read a piece of a body."""
        self._bytes_since_head = 0
        super().on_body(body)
