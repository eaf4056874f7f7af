"""The addresses that every service has: ping, health, metrics, and its error pages."""

import math
import sys
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults

from offload.conf import conf
from offload.jobs.services import services
from offload.problems import Problem
from offload.serving.handler import unlogged
from offload.serving.scrape import Scrape
from offload.serving.stop_signals import is_draining
from offload.serving.unavailable import unavailable
from offload.serving.without_transaction import without_transaction

# A database that has not answered for so long is away. It is asked once a second.
MAX_DATABASE_AGE_SECONDS = 3.0


@without_transaction
async def ping(request: HttpRequest) -> JsonResponse:
    """The smallest request that passes the whole API chain."""
    return JsonResponse({"pong": True})


@without_transaction
async def live(request: HttpRequest) -> JsonResponse:
    """200 while the process runs and its event loop turns."""
    return JsonResponse({"live": True})


@without_transaction
async def ready(request: HttpRequest) -> JsonResponse:
    """200 if this process can serve: its database has answered within `MAX_DATABASE_AGE_SECONDS`.

    Broker, workers and events are reported beside it. Without them submits are accepted and streams
    go on, so that to take this process out of service would be the only outage.
    """
    if is_draining(request):
        return JsonResponse({"draining": True}, status=503)

    report = _report()
    return JsonResponse(report, status=200 if report["database"] else 503)


@without_transaction
async def dependencies(request: HttpRequest) -> JsonResponse:
    """200 if database, broker and a worker answer, so that a job would be computed; else 503.

    For alarms and for the end of a start, not for a balancer: see `ready`.
    """
    report = _report()
    all_answer = report["database"] and report["broker"] and report["worker"]
    return JsonResponse(report, status=200 if all_answer else 503)


def _report() -> dict[str, Any]:
    """What this process knows, from memory: a probe itself asks nobody."""
    stats, probe, notifier = services.stats, services.database_probe, services.notifier
    age = probe.age() if probe else math.inf
    return {
        "database": age < MAX_DATABASE_AGE_SECONDS,
        "database_age_seconds": round(age, 1) if math.isfinite(age) else None,
        "broker": stats.broker,
        "worker": stats.workers > 0,
        "workers": stats.workers,
        "events": notifier is not None and notifier.subscribed,
    }


# The view of `/metrics`.
metrics = Scrape().answer


@without_transaction
async def no_such_address(request: HttpRequest, address: str = "") -> HttpResponse:
    """404 for callers of the API. Under DEBUG Django does not call `not_found`."""
    return not_found(request, Http404())


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404: a problem for callers of the API, a page for people."""
    if request.path_info.startswith(conf().api_path):
        return Problem(
            404, f"there is nothing at {request.path}; {conf().api_path}docs lists what there is"
        ).response()
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """500: a problem for callers of the API, a page for people.

    It is a 503 where middleware met a database that is away, or waited too long for a thread.
    """
    if problem := unavailable(sys.exc_info()[1]):
        return unlogged(problem)
    if request.path_info.startswith(conf().api_path):
        return Problem(
            500, "this is our fault; the log has the reason under the request's id"
        ).response()
    return defaults.server_error(request)
