"""Settings for the tests of this room, and the chaos upstream that they call."""

import os
from collections.abc import AsyncIterator

import django
import pytest_asyncio
from django.conf import settings

if not settings.configured:
    settings.configure(
        SECRET_KEY="test",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="urls",
        MIDDLEWARE=[],
        API_MIDDLEWARE=[],
    )
    django.setup()

from chaos import Chaos

from offload.fanout.http import httpx

assert httpx.__name__ == os.environ.get("OFFLOAD_HTTPX", "httpx"), (
    "test_httpx2.py runs these tests with httpx2"
)


@pytest_asyncio.fixture
async def chaos() -> AsyncIterator[Chaos]:
    """A fresh chaos upstream on a port of its own."""
    async with Chaos() as upstream:
        yield upstream
