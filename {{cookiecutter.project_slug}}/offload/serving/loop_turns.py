"""Gives the event loop a turn while a body, or a WebSocket's messages, are sent without a wait."""

import asyncio
from time import perf_counter

from offload.serving.types import Message, Send

# A body that never waits lets the loop run other work after this time. After each piece it would
# cost 9 us a piece, which is much where the pieces are small.
MAX_SENDING_SECONDS = 0.002


def with_loop_turns(send: Send) -> Send:
    """A `send` that lets other tasks run every `MAX_SENDING_SECONDS`.

    Without it the loop would serve nobody else, and would not learn that the client has left.
    """
    last_turn = 0.0

    async def send_and_yield(message: Message) -> None:
        nonlocal last_turn
        await send(message)
        goes_on = message.get("more_body", message["type"] == "websocket.send")
        if goes_on and perf_counter() - last_turn > MAX_SENDING_SECONDS:
            await asyncio.sleep(0)
            last_turn = perf_counter()

    return send_and_yield
