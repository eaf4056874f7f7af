"""The addresses of the service, and two more."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from config.urls import handler404, handler500, urlpatterns  # noqa: F401 - Django looks for both
from lab_project.jobs import Nap, nap
from lab_project.upstreams import bad, well
from offload.fanout import gather
from offload.jobs import accepted, submit

# The owner of the jobs, who has a token.
OWNER = "ada"


async def submit_nap(request: HttpRequest) -> HttpResponse:
    params = Nap(seconds=float(request.GET.get("seconds", "0")))
    return await accepted(await submit(nap, params, owner=OWNER))


async def fan_out(request: HttpRequest) -> HttpResponse:
    """Ask the upstream that is well, and beside it the bad one that the query names.

    502 if the one that is well did not answer.
    """
    calls = {"well": well.get_json("/ok")}
    if name := request.GET.get("bad"):
        calls["bad"] = bad[name].get_json(f"/{name}")
    outcomes = await gather(calls)
    statuses = {name: outcome.status for name, outcome in outcomes.items()}
    return JsonResponse(statuses, status=200 if statuses["well"] == "ok" else 502)


urlpatterns = [path("api/nap", submit_nap), path("api/fan", fan_out), *urlpatterns]
