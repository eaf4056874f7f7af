"""Tells callers what is left of their quota."""

from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from offload.conf import conf
from offload.serving.middleware.base import GetResponse, Middleware


class QuotaHeaders(Middleware):
    """Sets `RateLimit` and `RateLimit-Policy` on the response of a request that was counted.

    Without a quota in the settings this middleware is not in the chain.
    """

    def __init__(self, get_response: GetResponse) -> None:
        if not (conf().requests_per_owner or conf().requests_per_address):
            raise MiddlewareNotUsed
        super().__init__(get_response)

    def after(self, request: HttpRequest, response: HttpResponseBase, from_before: None) -> None:
        found = getattr(request, "quota", None)
        if found is not None:
            for name, value in found.headers().items():
                response.headers[name] = value
