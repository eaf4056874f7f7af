"""The fan-out as a view of a service."""

from django.http import HttpRequest, JsonResponse
from django.urls import path

from fanout_apps.upstreams import ask


async def fan(request: HttpRequest) -> JsonResponse:
    """Ten upstreams at once."""
    outcomes = await ask()
    return JsonResponse(
        {"answers": [outcome.value for outcome in outcomes.values()], "sources": outcomes.sources()}
    )


urlpatterns = [path("api/fan", fan)]
