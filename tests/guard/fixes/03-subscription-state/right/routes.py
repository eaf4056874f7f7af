from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.authentication import requires

from .adapters import aget_membership_state, ais_member, aset_recurring

membership_router = APIRouter()


@membership_router.get("/membership")
@requires(["authenticated"])
async def membership(request: Request):
    user = request.user.object
    return JSONResponse(
        {"state": await aget_membership_state(user), "active": await ais_member(user)}
    )


@membership_router.patch("/membership")
@requires(["authenticated"])
async def change_membership(request: Request, recurring: bool):
    changed = await aset_recurring(request.user.object.email, recurring)
    return JSONResponse({"changed": changed})
