"""Ours: Django with the serving room and its access log, every protection of the fan-out room on."""

import os
from typing import Any

from django.conf import settings

MIDDLEWARE = [f"offload.serving.{name}" for name in ("RequestId", "AccessLog", "Metrics", "SecurityHeaders")]

settings.configure(
    SECRET_KEY="only for a benchmark",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF="fanout_apps.ours",
    MIDDLEWARE=[],
    API_MIDDLEWARE=[*MIDDLEWARE, "offload.fanout.DeadlineMiddleware"],
    LOGGING={
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"file": {"class": "logging.FileHandler", "filename": os.environ["PEERS_LOG"]}},
        "loggers": {"offload.access": {"handlers": ["file"], "level": "INFO", "propagate": False}},
    },
)

from django.http import HttpRequest, JsonResponse  # noqa: E402  # Django's settings come first
from django.urls import path  # noqa: E402

from fanout_apps.room import ask  # noqa: E402
from offload import fanout  # noqa: E402
from offload.serving import Application  # noqa: E402


async def fan(request: HttpRequest) -> JsonResponse:
    """Ten upstreams at once."""
    outcomes = await ask()
    return JsonResponse({"answers": [outcome.value for outcome in outcomes.values()], "sources": outcomes.sources()})


urlpatterns = [path("api/fan", fan)]
application: Any = Application(lifespans=[fanout.lifespan])
