"""The corpus as a test suite of its own.

`test_corpus.py` runs it under the plugin, one tree at a time.
"""

import gc
import os
from collections.abc import AsyncIterator
from types import ModuleType

import corpus_calls
import pytest
import pytest_asyncio
from django.test import AsyncClient

CASES = os.environ["GUARD_CASES"].split(",")


@pytest.fixture(scope="session", autouse=True)
def prepared() -> None:
    corpus_calls.prepare()
    # Deleting takes 60 ms with all modules, which would be a finding itself, and 2 ms without.
    gc.freeze()


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[AsyncClient]:
    yield await corpus_calls.client()


@pytest.fixture
def urls(request: pytest.FixtureRequest) -> ModuleType:
    return corpus_calls.load(request.param)


@pytest.mark.parametrize("urls", CASES, indirect=True)
async def test_case(urls: ModuleType, browser: AsyncClient) -> None:
    await corpus_calls.call(browser, urls)
    # What the case has dropped is deleted now, and not in the test of another one.
    gc.collect()
