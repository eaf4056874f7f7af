"""The request is known while it is handled."""

from django.http import HttpResponse
from django.urls import path
from shop.context import HistoryContext


async def view(request):
    return HttpResponse(HistoryContext.thread.request.path)


urlpatterns = [path("a", view)]


async def test_the_request_is_known(settings, async_client):
    settings.MIDDLEWARE = ["shop.middleware.HistoryRequestMiddleware"]
    assert (await async_client.get("/a")).content == b"/a"
