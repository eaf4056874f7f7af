"""The endpoints that both Django services answer."""

from django.contrib.auth.models import Group
from django.http import HttpRequest, JsonResponse
from django.urls import URLPattern, URLResolver, path
from ninja import NinjaAPI
from pydantic import BaseModel


class Item(BaseModel):
    """The same as in the FastAPI service."""

    id: int
    name: str
    price: float
    tags: list[str]


async def item(request: HttpRequest, item_id: int, name: str = "item", price: float = 1.0) -> Item:
    """Path, query and response are parsed and checked."""
    return Item(id=item_id, name=name, price=price, tags=["a", "b"])


async def ping(request: HttpRequest) -> JsonResponse:
    """The smallest request that passes the whole API chain."""
    return JsonResponse({"pong": True})


async def orm(request: HttpRequest) -> JsonResponse:
    """One query."""
    group = await Group.objects.aget(pk=1)
    return JsonResponse({"name": group.name})


def routes(api: NinjaAPI) -> list[URLPattern | URLResolver]:
    """The typed endpoint in this API; the others are plain views."""
    api.get("/items/{item_id}", response=Item)(item)
    return [path("api/ping", ping), path("api/orm", orm), path("api/", api.urls)]
