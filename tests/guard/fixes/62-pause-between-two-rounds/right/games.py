from . import pace


async def publish(consumer, body: dict) -> None:
    await consumer.channel_layer.group_send(consumer.group, {"type": "game.event", "body": body})


async def announce(consumer, number: int) -> None:
    await publish(consumer, {"event": "next", "round": number})
    async for left in pace.countdown():
        await publish(consumer, {"event": "countdown", "left": left})


async def play_round(consumer, number: int) -> None:
    await publish(consumer, {"event": "round", "round": number})
