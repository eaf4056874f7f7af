"""The views that are measured: the same work five ways, and five mistakes beside the right way.

The wrong ways are here only to be measured.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, include, path

from benchmarks import compute as computing
from benchmarks import jobs, work
from benchmarks.rows import LIMIT, MANY
from benchmarks.upstreams import apis, bounded, crowded, unbounded
from config.urls import urlpatterns as service
from offload.api import make_api
from offload.fanout import Upstream, gather
from offload.jobs import JobType, accepted, submit
from offload.serving import release

# The owner of the jobs, and of the token that waits for them.
OWNER = "benchmarks"
threads = ThreadPoolExecutor(32, "benchmarks")


def amount(request: HttpRequest) -> int:
    """How much work a request asks for: milliseconds, rows or rounds."""
    return int(request.GET.get("amount", 0))


async def wait(ms: int) -> int:
    """Call ten APIs at once."""
    calls = {api.name: api.get_json(f"/{ms}/{api.name}") for api in apis}
    return len(await gather(calls, required=calls))


async def query(rows: int) -> int:
    """Do three queries by the ORM's async methods."""
    count = await Group.objects.acount()
    first = await Group.objects.order_by("pk").afirst()
    assert first is not None
    return count + first.pk + len([group async for group in Group.objects.order_by("name")[:rows]])


async def compute(rounds: int) -> int:
    """Compute on the event loop."""
    return computing.compute(rounds)


def five_ways(
    name: str,
    plain: Callable[[int], int],
    awaited: Callable[[int], Awaitable[int]],
    job_type: JobType[jobs.Amount, jobs.Done],
    in_threads: Callable[[int], Awaitable[int]],
) -> list[URLPattern]:
    """The routes of one kind of work, `{name}/{way}?amount=`."""

    def sync(request: HttpRequest) -> HttpResponse:
        return JsonResponse({"value": plain(amount(request))})

    async def on_the_loop(request: HttpRequest) -> HttpResponse:
        return JsonResponse({"value": await awaited(amount(request))})

    async def adapted(request: HttpRequest) -> HttpResponse:
        return JsonResponse({"value": await sync_to_async(plain)(amount(request))})

    async def pooled(request: HttpRequest) -> HttpResponse:
        return JsonResponse({"value": await in_threads(amount(request))})

    async def offloaded(request: HttpRequest) -> HttpResponse:
        return await accepted(
            await submit(job_type, jobs.Amount(amount=amount(request)), owner=OWNER)
        )

    ways: dict[str, Any] = {
        "sync": sync,
        "async": on_the_loop,
        "sync_to_async": adapted,
        "threads": pooled,
        "worker": offloaded,
    }
    return [path(f"{name}/{way}", view) for way, view in ways.items()]


def from_the_pool(plain: Callable[[int], int]) -> Callable[[int], Awaitable[int]]:
    """The same work in a thread of the process's pool."""
    return lambda number: asyncio.get_running_loop().run_in_executor(threads, plain, number)


async def ask_from_threads(ms: int) -> int:
    """Call ten APIs at once, with one thread for each."""
    loop = asyncio.get_running_loop()
    asked = [loop.run_in_executor(threads, work.ask, api, ms) for api in work.APIS]
    return len([await answer for answer in asked])


def sync_only(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """A sync-only middleware that does nothing."""

    def middleware(request: HttpRequest) -> HttpResponse:
        return get_response(request)

    return middleware


async def one(request: HttpRequest) -> HttpResponse:
    """Wait for one API. The address decides through which middleware chain."""
    return JsonResponse(await crowded.get_json(f"/{amount(request)}/one"))


async def sleeping(request: HttpRequest) -> HttpResponse:
    """Wait, and let other requests work."""
    await asyncio.sleep(amount(request) / 1000)
    return JsonResponse({})


async def blocking(request: HttpRequest) -> HttpResponse:
    """Wait, and block every other request."""
    # offload: allow OFF103: what it costs is measured
    time.sleep(amount(request) / 1000)  # noqa: ASYNC251
    return JsonResponse({})


def ask_many(upstream: Upstream) -> Any:
    """A view that makes 100 calls at once to an API that serves 40 at once."""

    async def view(request: HttpRequest) -> HttpResponse:
        address = f"/{amount(request)}/many"
        calls = {
            f"{number}": upstream.get_json(address, params={"limit": LIMIT})
            for number in range(MANY)
        }
        outcomes = await gather(calls)
        failed = [outcome for outcome in outcomes.values() if outcome.error is not None]
        for outcome in failed:
            # Anything but a refusal is a failure of the measurement.
            if outcome.error and outcome.http_status != HTTPStatus.SERVICE_UNAVAILABLE:
                raise outcome.error
        return JsonResponse({"refused": len(failed)})

    return view


async def held(request: HttpRequest) -> HttpResponse:
    """Query, then wait and keep thread and connection."""
    await Group.objects.acount()
    await asyncio.sleep(amount(request) / 1000)
    return JsonResponse({})


async def released(request: HttpRequest) -> HttpResponse:
    """Query, give thread and connection back, then wait."""
    await Group.objects.acount()
    await release()
    await asyncio.sleep(amount(request) / 1000)
    return JsonResponse({})


def one_sync(request: HttpRequest) -> HttpResponse:
    """Wait for one API in a sync view."""
    return JsonResponse({"value": work.ask("one", amount(request))})


async def ping(request: HttpRequest) -> HttpResponse:
    """The neighbour's small request."""
    return JsonResponse({})


async def reporting(request: HttpRequest) -> HttpResponse:
    """Submit a job that reports twice a second, `amount` times."""
    return await accepted(
        await submit(jobs.reporting, jobs.Amount(amount=amount(request)), owner=OWNER)
    )


api = make_api("benchmarks", version="benchmarks")


@api.get("/")
async def typed(request: HttpRequest, amount: int = 0) -> jobs.Done:
    """A request with a token and parameters, answered at once."""
    return jobs.Done(value=amount)


measured = [
    *five_ways("waiting", work.wait, wait, jobs.waiting, ask_from_threads),
    *five_ways("orm", work.query, query, jobs.orm, from_the_pool(work.query)),
    *five_ways(
        "computing", computing.compute, compute, jobs.computing, from_the_pool(computing.compute)
    ),
    *[path(upstream.name, ask_many(upstream)) for upstream in (bounded, unbounded)],
    *[
        path(view.__name__, view)
        for view in (one, one_sync, sleeping, blocking, held, released, ping, reporting)
    ],
]
urlpatterns = [
    # The API's chain: API_MIDDLEWARE.
    path("api/bench/", include(measured)),
    path("api/bench/typed/", api.urls),
    # The other chain: MIDDLEWARE.
    path("pages/bench/", include(measured)),
    # The routes of the service itself: jobs and probes.
    *service,
]
