"""The addresses that every service has: ping, health, metrics, and its error pages."""

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from offload.jobs import relay
from offload.problems import Problem
from offload.serving.stop_signals import is_draining


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

    running = relay.current()
    figures = running.figures if running else relay.Figures()
    checks = {"database": figures.database, "broker": figures.broker, "worker": figures.workers > 0}
    return JsonResponse(
        checks | {"workers": figures.workers}, status=200 if all(checks.values()) else 503
    )


async def metrics(request: HttpRequest) -> HttpResponse:
    """The metrics of the process, in the text format of Prometheus."""
    return HttpResponse(generate_latest(), content_type=CONTENT_TYPE_LATEST)


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
    """500: a problem for callers of the API, a page for people."""
    if request.path_info.startswith("/api/"):
        return Problem(
            500, "this is our fault; the log has the reason under the request's id"
        ).response()
    return defaults.server_error(request)
