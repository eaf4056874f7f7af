"""The page that Prometheus reads: the metrics as text."""

import asyncio
import hmac
import time
from contextvars import Context

from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST

from offload.conf import conf
from offload.observe.exposition import make_text
from offload.problems import Problem
from offload.serving.without_transaction import without_transaction

# Seconds. Prometheus scrapes every 15 s or less often; whoever asks more often gets the same text.
TEXT_LIFETIME_SECONDS = 1.0


class Scrape:
    """The view of `/metrics`.

    The text is made in a thread, since it takes 10 ms for 500 series, and at most once a second,
    since anybody may ask. With `Offload.metrics_token` only its owner may.
    """

    def __init__(self) -> None:
        self._text = b""
        self._made_at = float("-inf")
        # The scrape that makes the text; those that come meanwhile wait for it.
        self._making: asyncio.Task[None] | None = None

    @without_transaction
    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer one scrape: 200 with the text, or 401."""
        if not is_allowed(request.META.get("HTTP_AUTHORIZATION", "")):
            return Problem(
                401,
                "send Authorization: Bearer <METRICS_TOKEN>",
                headers={"WWW-Authenticate": "Bearer"},
            ).response()

        if time.monotonic() - self._made_at > TEXT_LIFETIME_SECONDS:
            await self._make()
        return HttpResponse(self._text, content_type=CONTENT_TYPE_LATEST)

    async def _make(self) -> None:
        making, loop = self._making, asyncio.get_running_loop()
        # A test may have a loop for each request.
        if making is None or making.done() or making.get_loop() is not loop:
            # In nobody's context: the task is kept, and would keep that of a request.
            making = self._making = loop.create_task(self._generate(), context=Context())
        # A scrape that is cancelled does not take the text from the others.
        await asyncio.shield(making)

    async def _generate(self) -> None:
        self._text = await asyncio.to_thread(make_text)
        self._made_at = time.monotonic()


def is_allowed(authorization: str) -> bool:
    """Whether a header `Authorization` opens the page."""
    token = conf().metrics_token
    return not token or hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode())
