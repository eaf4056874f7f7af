"""A service that others call: `python outside.py ADDRESS PORT` answers a little late."""

import asyncio
import random
import sys

from aiohttp import web

# Seconds until an answer.
LONGEST_SECONDS = 0.2


async def answer(request: web.Request) -> web.Response:
    """Answer any path."""
    await asyncio.sleep(random.uniform(0.0, LONGEST_SECONDS))
    return web.json_response({"path": request.path})


def main(address: str, port: int) -> None:
    """Answer for ever."""
    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    web.run_app(application, host=address, port=port, print=None)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
