"""The addresses of the service, and five more."""

import asyncio
import gc
import json
import socket
from datetime import datetime

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from hosts_project.jobs import Count, count
from hosts_project.orders import submit_order
from hosts_project.upstreams import outside

from config.urls import handler404, handler500, urlpatterns  # noqa: F401 - Django looks for both
from offload.fanout import gather
from offload.jobs import Idempotency, accepted, submit

# The owner of the jobs, who has a token.
OWNER = "ada"


async def submit_count(request: HttpRequest) -> HttpResponse:
    """Submit a job; the body has its parameters, and maybe the time of its begin."""
    body = json.loads(request.body)
    run_at = datetime.fromisoformat(body.pop("run_at")) if "run_at" in body else None
    key = Idempotency.of(request)
    job = await submit(count, Count(**body), owner=OWNER, idempotency=key, run_at=run_at)
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


async def fan(request: HttpRequest) -> HttpResponse:
    """Ask all upstreams at once."""
    calls = {each.name: each.get_json("/today") for each in outside}
    return JsonResponse({"answers": len(await gather(calls, required=calls))})


async def inside(request: HttpRequest) -> HttpResponse:
    """What this process holds: its tasks, and the objects that its garbage collector knows."""
    gc.collect()
    return JsonResponse({"tasks": len(asyncio.all_tasks()), "objects": len(gc.get_objects())})


urlpatterns = [
    path("api/fan", fan),
    path("api/inside", inside),
    path("api/count", submit_count),
    path("api/describe", describe),
    path("api/orders", submit_order),
    *urlpatterns,
]
