"""A message comes back to its sender."""

import pytest
import websockets
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from shop.handlers import main_handler


@pytest.mark.django_db(transaction=True)
async def test_a_message_comes_back():
    user = await User.objects.acreate(username="ann")
    session = SessionStore()
    await session.aset("_auth_user_id", user.pk)
    await session.asave()

    async def handler(socket):
        await main_handler(socket, f"/{session.session_key}")

    async with websockets.serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with websockets.connect(f"ws://127.0.0.1:{port}") as client:
            await client.send("hello")
            assert await client.recv() == "hello"
