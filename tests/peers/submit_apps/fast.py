"""FastAPI, the task published in an async endpoint."""

from fastapi import FastAPI

from submit_apps.tasks import add

application = FastAPI(docs_url=None, openapi_url=None)


@application.get("/api/ping")
async def ping() -> dict[str, bool]:
    """The same as everybody's."""
    return {"pong": True}


@application.get("/api/delay", status_code=202)
async def delay() -> dict[str, str]:
    """As most services have it."""
    return {"id": add.delay(1, 2).id}
