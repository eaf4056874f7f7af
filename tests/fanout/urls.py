"""One view that fans out, for the tests that need a whole service."""

from django.http import HttpRequest, JsonResponse
from django.urls import path

from offload.fanout import Outcomes, Upstream, gather, remaining
from offload.problems import Problem

# Filled by the test that serves this view.
sources: dict[str, Upstream] = {}


async def fan(request: HttpRequest) -> JsonResponse:
    """Ask every source for the path that the query names."""
    calls = {name: upstream.get_json(request.GET["ask"]) for name, upstream in sources.items()}
    try:
        outcomes: Outcomes = await gather(calls, required=request.GET.getlist("required"))
    except Problem as problem:
        return JsonResponse(problem.members | {"detail": problem.detail}, status=problem.status)
    return JsonResponse({"sources": outcomes.sources(), "remaining": remaining()})


urlpatterns = [path("fan", fan)]
