"""A quota, what is left of it after a request, and what the caller is told of both."""

import math
from typing import NamedTuple

from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from offload.conf import conf
from offload.problems import Problem
from offload.serving.middleware.base import GetResponse, Middleware

# A problem type of draft-ietf-httpapi-ratelimit-headers-10.
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"


class Policy(NamedTuple):
    """A quota: so many requests in a window, in seconds. The name is in headers and metrics."""

    name: str
    requests: int
    window: float

    def header(self) -> str:
        """The value of `RateLimit-Policy`."""
        return f'"{self.name}";q={self.requests};w={math.ceil(self.window)}'


class Count(NamedTuple):
    """What is left of a caller's quota after a request.

    Attributes:
        policy: the quota.
        fits: whether the request was in the quota.
        whole_in: seconds until all of the quota may be used again.
    """

    policy: Policy
    fits: bool
    whole_in: float

    @property
    def left(self) -> int:
        """How many requests may follow at once."""
        used = self.whole_in * self.policy.requests / self.policy.window
        # The script's times are whole microseconds.
        return max(0, self.policy.requests - math.ceil(used - 1e-4))

    @property
    def retry_after(self) -> int:
        """Seconds until the next request fits."""
        interval = self.policy.window / self.policy.requests
        return max(1, math.ceil(self.whole_in + interval - self.policy.window))

    def headers(self) -> dict[str, str]:
        """The headers of draft-ietf-httpapi-ratelimit-headers-10."""
        seconds = math.ceil(self.whole_in)
        return {
            "RateLimit-Policy": self.policy.header(),
            "RateLimit": f'"{self.policy.name}";r={self.left};t={seconds}',
        }

    def problem(self) -> Problem:
        """429, for a request that was not in the quota."""
        policy, seconds = self.policy, self.retry_after
        whose = "Your" if policy.name == "owner" else "Your address's"
        return Problem(
            429,
            f"{whose} quota of {policy.requests} requests in {policy.window:g} s is used up: try "
            f"again in {seconds} s",
            headers={"Retry-After": str(seconds)} | self.headers(),
            **{"type": QUOTA_EXCEEDED, "violated-policies": [policy.name]},
        )


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
