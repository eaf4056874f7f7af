from __future__ import annotations

import logging

from django.conf import settings
from langchain_mcp_adapters.client import MultiServerMCPClient

from .models import ToolServer

logger = logging.getLogger(__name__)


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
        try:
            tools = await client.get_tools()
        except Exception:
            logger.warning("Could not load the tools of %s", sorted(connections), exc_info=True)
            tools = []
        return [tool for tool in tools if tool.name not in settings.HIDDEN_TOOLS]
