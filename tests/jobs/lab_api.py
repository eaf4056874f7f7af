"""An address for the lab's jobs, so that a web process can accept one."""

import sys
import time

from django.http import HttpRequest, HttpResponse
from ninja import Router

from offload.access import caller
from offload.fanout import gather
from offload.jobs import Idempotency, JobView, accepted, submit

from . import life
from .jobs import Whole, Work, burn, increment, stumbling, told, whole
from .upstreams import nowhere

router = Router()
router.add_router("/life", life.router)


@router.post("/burn", response={202: JobView})
async def post_burn(request: HttpRequest, body: Work) -> HttpResponse:
    job = await submit(burn, body, owner=caller(request), idempotency=Idempotency.of(request))
    return await accepted(job)


@router.get("/sin")
async def sin(request: HttpRequest) -> dict[str, bool]:
    """Block the event loop, as no service may."""
    time.sleep(0.5)  # noqa: ASYNC251
    return {"done": True}


@router.get("/call")
async def call(request: HttpRequest) -> dict[str, str]:
    """Call an upstream that nobody serves, thirty times."""
    statuses = [(await gather({"n": nowhere.get_json("/")}))["n"].status for _ in range(30)]
    return {"last": statuses[-1]}


@router.post("/whole", response={202: JobView})
async def post_whole(request: HttpRequest, body: Whole) -> HttpResponse:
    return await accepted(await submit(whole, body, owner=caller(request)))


@router.post("/traced", response={202: JobView})
async def post_traced(request: HttpRequest, body: Whole) -> HttpResponse:
    """Call an upstream, submit a job whose parts fail once, and a job that another one follows."""
    await gather({"nowhere": nowhere.get_json("/path", params={"key": "s3cr3t"})})
    owner = caller(request)
    stumbles = Whole(logs=[f"{log}-stumble" for log in body.logs], stumbles=1)
    await submit(stumbling, stumbles, owner=owner)
    return await accepted(await submit(whole, body, owner=owner, then=[increment], on_end=told))


@router.get("/fail")
async def fail(request: HttpRequest) -> None:
    raise RuntimeError("GET https://upstream/?token=s3cr3t: 401")


@router.get("/modules")
async def modules(request: HttpRequest) -> list[str]:
    """What this process has imported."""
    return sorted(sys.modules)
