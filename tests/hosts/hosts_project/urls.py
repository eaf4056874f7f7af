"""The addresses of the service, and two more."""

import json
import socket

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from hosts_project.jobs import Count, count

from config.urls import handler404, handler500, urlpatterns  # noqa: F401 - Django looks for both
from offload.jobs import Idempotency, accepted, submit

# The owner of the jobs, who has a token.
OWNER = "ada"


async def submit_count(request: HttpRequest) -> HttpResponse:
    """Submit a job; the body has its parameters."""
    params = Count(**json.loads(request.body))
    job = await submit(count, params, owner=OWNER, idempotency=Idempotency.of(request))
    return await accepted(job)


async def describe(request: HttpRequest) -> HttpResponse:
    """What the service sees of its client."""
    return JsonResponse(
        {
            "address": request.META["REMOTE_ADDR"],
            "secure": request.is_secure(),
            "hostname": request.get_host(),
            "machine": socket.gethostname(),
            "bytes": len(request.body),
        }
    )


urlpatterns = [
    path("api/count", submit_count),
    path("api/describe", describe),
    *urlpatterns,
]
