"""The tutor answers a message in parts."""

from types import SimpleNamespace

from channels.testing import WebsocketCommunicator
from shop import tutor
from shop.consumers import TutorConsumer


async def test_the_tutor_answers(upstream, monkeypatch):
    async def converse(problem, message):
        yield f"{problem}: {message}"

    monkeypatch.setattr(tutor, "converse", converse)
    upstream["results"] = [{"content": "1 + 1"}]
    communicator = WebsocketCommunicator(TutorConsumer.as_asgi(), "/tutor")
    communicator.scope["user"] = SimpleNamespace(username="ann")
    connected, _ = await communicator.connect()
    assert connected
    await communicator.send_json_to({"message": "help", "block": "b"})
    assert await communicator.receive_json_from(timeout=5) == {"part": "1 + 1: help"}
    await communicator.disconnect()
