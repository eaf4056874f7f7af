"""The same endpoints in FastAPI, as its documentation writes them."""

from fastapi import FastAPI
from pydantic import BaseModel

application = FastAPI(docs_url=None, openapi_url=None)


class Item(BaseModel):
    """The same as in the Django services."""

    id: int
    name: str
    price: float
    tags: list[str]


@application.get("/api/items/{item_id}")
async def item(item_id: int, name: str = "item", price: float = 1.0) -> Item:
    """Path, query and response are parsed and checked."""
    return Item(id=item_id, name=name, price=price, tags=["a", "b"])


@application.get("/api/ping")
async def ping() -> dict[str, bool]:
    """The same response as in the other services."""
    return {"pong": True}
