"""Takes the content from responses that may have none (RFC 9110, sections 9.3.2 and 15).

A client takes what follows such a head for its next answer. uvicorn sends what it is given: the
content of a 204 with a length, which a `FileResponse` has, goes to the next request's client.
"""

from collections.abc import AsyncIterator
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase, StreamingHttpResponse

# These end with their head. A 204 has no length, and that of a 304 would be the length of another
# response: of the one that the client has.
ENDS_WITH_HEAD = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
# A 205 has a length as others have, and it is 0.
WITHOUT_CONTENT = ENDS_WITH_HEAD | {HTTPStatus.RESET_CONTENT}


def without_forbidden_content(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """The response, without content if its status or its request's method allows none.

    Two cases: 1. a 204, 205 or 304; 2. a stream that a HEAD asked for. The server sends no piece of
    it, and Django would make them all: those of a file in memory.

    Raises:
        ValueError: as `refuse_interim_status` says.
    """
    if response.status_code in WITHOUT_CONTENT:
        _empty(response)
        del response.headers["Content-Length"]
        if response.status_code not in ENDS_WITH_HEAD:
            response.headers["Content-Length"] = "0"
    elif request.method == "HEAD" and isinstance(response, StreamingHttpResponse):
        _empty(response)
    refuse_interim_status(response)
    return response


def refuse_interim_status(response: HttpResponseBase) -> None:
    """Refuse a response that its client would not take for one, and so wait for ever.

    Raises:
        ValueError: the status is 1xx.
    """
    if response.status_code < HTTPStatus.OK:
        raise ValueError(
            f"A view or a middleware made a response with status {response.status_code}. A 1xx "
            "only announces a response: answer with 200 to 599."
        )


def _empty(response: HttpResponseBase) -> None:
    """Take the content. What a stream reads from is closed with the response."""
    if isinstance(response, StreamingHttpResponse):
        response.streaming_content = _nothing()
    elif isinstance(response, HttpResponse):
        response.content = b""


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield
