"""A command is answered in the channel."""

from types import SimpleNamespace
from unittest.mock import AsyncMock

import pytest
from shop.listener import process
from shop.models import AccessGrant


@pytest.mark.django_db(transaction=True)
async def test_a_command_is_answered():
    await AccessGrant.objects.acreate(command="*", value="ann")
    client = AsyncMock()
    payload = {"user_id": "ann", "command": "ping"}
    await process(client, SimpleNamespace(envelope_id="1", payload=payload))
    client.web_client.chat_postMessage.assert_awaited_once_with(channel="general", text="pong")
