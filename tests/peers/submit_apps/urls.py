"""`startproject`'s views: the task published on the event loop, and from a thread."""

from asgiref.sync import sync_to_async
from django.http import HttpRequest, JsonResponse
from django.urls import path

from submit_apps.tasks import add


async def ping(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"pong": True})


async def delay(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"id": add.delay(1, 2).id}, status=202)


async def in_thread(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"id": (await sync_to_async(add.delay)(1, 2)).id}, status=202)


urlpatterns = [path("api/ping", ping), path("api/delay", delay), path("api/in_thread", in_thread)]
