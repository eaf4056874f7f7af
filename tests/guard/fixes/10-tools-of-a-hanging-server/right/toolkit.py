from __future__ import annotations

import asyncio
import logging

from django.conf import settings
from langchain_mcp_adapters.client import MultiServerMCPClient

from .models import ToolServer

logger = logging.getLogger(__name__)


LOAD_TIMEOUT_SECONDS = 30.0


async def tools_of(client: MultiServerMCPClient, name: str) -> list:
    try:
        return await asyncio.wait_for(
            client.get_tools(server_name=name), timeout=LOAD_TIMEOUT_SECONDS
        )
    except TimeoutError:
        logger.warning("%s did not name its tools within %s s", name, LOAD_TIMEOUT_SECONDS)
        return []
    except Exception:
        logger.exception("Could not load the tools of %s", name)
        return []


class Toolkit:
    @classmethod
    async def load(cls) -> list:
        raise NotImplementedError


class RemoteToolkit(Toolkit):
    @classmethod
    async def _connections(cls) -> dict:
        found = {}
        async for server in ToolServer.objects.filter(enabled=True):
            found[server.name] = {"transport": "streamable_http", "url": server.url}
        return found

    @classmethod
    async def load(cls) -> list:
        connections = await cls._connections()
        if not connections:
            return []
        client = MultiServerMCPClient(connections)
        loaded = await asyncio.gather(*(tools_of(client, name) for name in connections))
        return [
            tool for tools in loaded for tool in tools if tool.name not in settings.HIDDEN_TOOLS
        ]
