import asyncio
import logging

import aiohttp
from asgiref.sync import async_to_sync
from django.conf import settings

from .models import Connector

logger = logging.getLogger(__name__)

HEADERS = {"Accept": "application/json", "User-Agent": settings.USER_AGENT}


async def get_results(session: aiohttp.ClientSession, connector: Connector, query: str):
    try:
        async with session.get(connector.search_url, params={"q": query}) as answer:
            answer.raise_for_status()
            raw = await answer.json()
    except (aiohttp.ClientError, asyncio.TimeoutError) as error:
        logger.info("%s did not answer: %s", connector.identifier, error)
        return None
    return {"connector": connector.identifier, "results": connector.parse(raw)}


async def search_connectors(connectors: list[Connector], query: str) -> list[dict]:
    timeout = aiohttp.ClientTimeout(total=settings.QUERY_TIMEOUT)
    async with aiohttp.ClientSession(timeout=timeout, headers=HEADERS) as session:
        found = await asyncio.gather(
            *(get_results(session, connector, query) for connector in connectors)
        )
    return [one for one in found if one and one["results"]]


def search(query: str) -> list[dict]:
    connectors = list(Connector.objects.filter(active=True).order_by("priority"))
    return async_to_sync(search_connectors)(connectors, query)
