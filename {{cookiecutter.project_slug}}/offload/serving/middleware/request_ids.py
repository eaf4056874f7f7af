"""Gives each request an id, by which its log lines are found."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from offload.conf import conf
from offload.serving.fast import header_stores
from offload.serving.middleware.base import GetResponse, Middleware
from offload.serving.response_headers import SANE, choose_request_id

request_id: ContextVar[str] = ContextVar("request_id", default="")


@contextmanager
def on_behalf_of(sent: str) -> Iterator[None]:
    """Work for an earlier request: upstreams and new jobs get its id, too.

    Args:
        sent: the id. It goes into a header, so an id that is not sane counts as none.
    """
    token = request_id.set(sent if SANE.fullmatch(sent) else "")
    try:
        yield
    finally:
        request_id.reset(token)


class RequestId(Middleware):
    """Sets the context variable `request_id`, and the header `X-Request-ID` of the response.

    The id is the caller's own if it sent a sane one, else 32 random hexadecimal digits.
    """

    def __init__(self, get_response: GetResponse) -> None:
        super().__init__(get_response)
        # A sane id needs no check of Django's.
        self.set_header = header_stores.set_header if conf().fast else HttpResponseBase.__setitem__

    def before(self, request: HttpRequest) -> str:
        chosen = choose_request_id(request.META.get("HTTP_X_REQUEST_ID", ""))
        request_id.set(chosen)
        return chosen

    def after(self, request: HttpRequest, response: HttpResponseBase, from_before: str) -> None:
        self.set_header(response, "X-Request-ID", from_before)
