"""How often one caller may call: counted in Redis, so that all web processes share one quota.

The script below is the generic cell rate algorithm. A quota of 60 requests in 60 s may be used at
once; then there is room for one more request each second. Redis's clock decides, so that the clocks
of the web processes may differ.
"""

import asyncio
import logging
import time
from contextvars import Context
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from django.http import HttpRequest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from offload.access import metrics
from offload.access.quota_count import Count, Policy
from offload.conf import conf
from offload.problems import Problem
from offload.redis_answers import strict_answers

logger = logging.getLogger("offload.access")

# Requests that one script counts. Redis does nothing else meanwhile: some 0.2 ms.
MAX_BATCH = 100
# After Redis has failed, one request in this time asks it; the others do not wait for it.
RETRY_INTERVAL_SECONDS = 1.0
# Seconds more for an answer that has come while the event loop was busy, and was not read yet.
READ_SECONDS = 0.01

# The value of a key is the time at which the whole quota is there again, in microseconds of Redis's
# clock. The key expires then. A time beyond the window is from before Redis's clock was put back.
# For each key it returns whether the request is in the quota, and the microseconds until the quota
# is whole.
COUNT_SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local answers = {}
for number, key in ipairs(KEYS) do
  local quota, window = tonumber(ARGV[number * 2 - 1]), tonumber(ARGV[number * 2])
  local whole_at = tonumber(redis.call('GET', key) or now)
  if whole_at < now or whole_at > now + window then whole_at = now end
  local next_at = math.floor(whole_at + window / quota)
  if next_at > now + window then
    answers[number] = {0, whole_at - now}
  else
    local left = next_at - now
    redis.call('SET', key, string.format('%.0f', next_at), 'PX', math.ceil(left / 1000))
    answers[number] = {1, left}
  end
end
return answers
"""


@dataclass(frozen=True, slots=True)
class WaitingRequest:
    """A request that waits for its count."""

    key: bytes
    policy: Policy
    count: "asyncio.Future[Count | None]"

    def end_wait(self, count: Count | None) -> None:
        """Give the request its count, unless the client has left."""
        if not self.count.done():
            self.count.set_result(count)


class RequestQuota:
    """Counts the requests of a web process. `AccessConfig` has it, and the lifespan opens it.

    A request costs at most one round trip to Redis, and where Redis does not answer some
    `conf().request_count_timeout` seconds. Requests that come during a round trip share the next
    one. So a crowd of them does not make Redis look slow: it would pass uncounted.

    A key lives no longer than its quota's window, and only for callers who got in, so that guessed
    tokens leave nothing in Redis's memory.
    """

    def __init__(self) -> None:
        settings = conf()
        window = settings.request_quota_window
        self.per_owner = Policy("owner", settings.requests_per_owner, window)
        self.per_address = Policy("address", settings.requests_per_address, window)
        self._prefix = f"{settings.events_prefix}:requests"
        self._timeout = settings.request_count_timeout
        self._passes = settings.uncounted_requests_pass
        self._redis: Redis | None = None
        self._waiting: list[WaitingRequest] = []
        self._sending: asyncio.Task[None] | None = None
        self._fails = False
        self._next_try_at = 0.0

    def open(self) -> None:
        """Begin to count. Connections are made when they are needed."""
        self._redis = _connect(conf().redis_url, self._timeout)

    async def close(self) -> None:
        """Close the connections."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait({self._sending})
        if self._redis is not None:
            await self._redis.aclose()
            self._redis = None

    async def take(self, request: HttpRequest, policy: Policy, sharer: str) -> None:
        """Count a request.

        Args:
            request: gets the count, for the headers of its response.
            policy: one of this object's two.
            sharer: whose quota it is: an owner, or a client address.

        Raises:
            Problem: 429, the quota is used up; 503, Redis did not answer, and the settings do not
                let such requests pass.
            RuntimeError: the application was started without the lifespan of access.
        """
        if not policy.requests:
            return
        if self._redis is None:
            raise RuntimeError(
                "requests cannot be counted: list offload.access.lifespan in config/asgi.py"
            )

        found = await self._count(policy, sharer)
        if found is None:
            metrics.UNCOUNTED.inc()
            if not self._passes:
                raise Problem(
                    503,
                    "your requests cannot be counted now: try again in a second",
                    headers={"Retry-After": "1"},
                )
            return

        # For `QuotaHeaders`.
        request.quota = found  # type: ignore[attr-defined]
        if not found.fits:
            metrics.REFUSED.labels(policy.name).inc()
            raise found.problem()

    async def _count(self, policy: Policy, sharer: str) -> Count | None:
        """The count, or None where Redis does not answer in time.

        While Redis fails, one request after the other asks it, and the others do not.
        """
        if self._fails:
            if time.monotonic() < self._next_try_at:
                return None
            self._next_try_at = time.monotonic() + RETRY_INTERVAL_SECONDS

        key = f"{self._prefix}:{policy.name}:{sharer}".encode(errors="backslashreplace")
        loop = asyncio.get_running_loop()
        request = WaitingRequest(key, policy, loop.create_future())
        self._waiting.append(request)
        if self._sending is None or self._sending.done():
            # In nobody's context: the connection to Redis would keep that of its first request.
            self._sending = loop.create_task(self._send(), context=Context())
        return await request.count

    async def _send(self) -> None:
        """Count what waits, one batch after the other, until nothing waits."""
        while self._waiting:
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            counts: list[Count] = []
            try:
                counts = await self._ask(batch)
                self._note_answer()
            except (RedisError, OSError, TimeoutError) as error:
                self._note_failure(error)
            finally:
                if not counts:
                    # Redis did not answer. The others that wait do not wait for another try.
                    batch, self._waiting = [*batch, *self._waiting], []
                for request, count in zip_longest(batch, counts):
                    request.end_wait(count)

    async def _ask(self, batch: list[WaitingRequest]) -> list[Count]:
        keys = [request.key for request in batch]
        quotas = [
            number
            for request in batch
            for number in (request.policy.requests, round(request.policy.window * 1e6))
        ]
        answers = await self._answers(keys, quotas)
        with strict_answers():
            return [
                Count(request.policy, bool(fits), microseconds / 1e6)
                for request, (fits, microseconds) in zip(batch, answers, strict=True)
            ]

    async def _answers(self, keys: list[bytes], quotas: list[int]) -> Any:
        redis: Any = self._redis
        # EVAL, because after a restart of Redis EVALSHA would need two more round trips.
        asking = asyncio.ensure_future(redis.eval(COUNT_SCRIPT, len(keys), *keys, *quotas))
        try:
            done, _ = await asyncio.wait({asking}, timeout=self._timeout)
            if not done:
                done, _ = await asyncio.wait({asking}, timeout=READ_SECONDS)
        finally:
            asking.cancel()
        if not done:
            raise TimeoutError(f"no answer in {self._timeout:g} s")
        with strict_answers():
            return asking.result()

    def _note_failure(self, error: Exception) -> None:
        self._next_try_at = time.monotonic() + RETRY_INTERVAL_SECONDS
        if not self._fails:
            self._fails = True
            logger.warning(
                "Redis does not answer: until it does, requests %s. Look at REDIS_URL and Redis's "
                "log. %s: %s",
                "pass without a limit" if self._passes else "of limited callers are refused (503)",
                type(error).__name__,
                error,
            )

    def _note_answer(self) -> None:
        if self._fails:
            self._fails = False
            logger.warning("Redis answers again: requests are counted.")


def _connect(url: str, seconds: float) -> "Redis":
    """A client that fails at its first error; a connection that Redis has closed is made anew."""
    return Redis.from_url(
        url,
        # `_answers` has the bound.
        socket_timeout=None,
        socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), 1),
    )
