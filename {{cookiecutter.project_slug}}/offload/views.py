"""The addresses that every service has: ping, health, metrics, and its error pages."""

import sys

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults

from offload.jobs.services import services
from offload.problems import Problem
from offload.serving.handler import unlogged
from offload.serving.scrape import Scrape
from offload.serving.stop_signals import is_draining
from offload.serving.unavailable import unavailable


async def ping(request: HttpRequest) -> JsonResponse:
    """The smallest request that passes the whole API chain."""
    return JsonResponse({"pong": True})


async def live(request: HttpRequest) -> JsonResponse:
    """200 while the process runs and its event loop turns."""
    return JsonResponse({"live": True})


async def ready(request: HttpRequest) -> JsonResponse:
    """200 if the database and the broker answer, and a worker was heard from; else 503.

    The relay asked a second ago: a probe itself asks nobody.
    """
    if is_draining(request):
        return JsonResponse({"draining": True}, status=503)

    stats = services.stats
    checks = {"database": stats.database, "broker": stats.broker, "worker": stats.workers > 0}
    return JsonResponse(
        checks | {"workers": stats.workers}, status=200 if all(checks.values()) else 503
    )


# The view of `/metrics`.
metrics = Scrape().answer


async def no_such_address(request: HttpRequest, address: str = "") -> HttpResponse:
    """404 for callers of the API. Under DEBUG Django does not call `not_found`."""
    return not_found(request, Http404())


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404: a problem for callers of the API, a page for people."""
    if request.path_info.startswith("/api/"):
        return Problem(
            404, f"there is nothing at {request.path}; /api/docs lists what there is"
        ).response()
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """500: a problem for callers of the API, a page for people.

    It is a 503 where middleware met a database that is away, or waited too long for a thread.
    """
    if problem := unavailable(sys.exc_info()[1]):
        return unlogged(problem)
    if request.path_info.startswith("/api/"):
        return Problem(
            500, "this is our fault; the log has the reason under the request's id"
        ).response()
    return defaults.server_error(request)
