"""The metrics: few series whoever asks, and a page that costs the event loop nothing."""

import asyncio
import threading
import time

import httpx
import pytest
from conftest import Server
from django.test import RequestFactory, override_settings

from offload.conf import Offload
from offload.serving.scrape import Scrape

# Some of those that the parser of HTTP lets through.
ODD_METHODS = ("PROPFIND", "MKCOL", "COPY", "LOCK", "MOVE", "SEARCH", "REPORT", "PURGE", "NOTIFY")


def test_methods_and_paths_of_strangers_make_no_series(server: Server) -> None:
    before = server.get("/metrics").text.count("\n")
    with httpx.Client(base_url=server.url) as client:
        for method in ODD_METHODS:
            client.request(method, f"/api/stranger/{method.lower()}")
            client.request(method, "/api/ping")
            client.get(f"/stranger/{method.lower()}")
    text = server.get("/metrics").text
    assert 'method="_OTHER"' in text
    assert not any(method in text for method in ODD_METHODS)
    assert "stranger" not in text
    # A histogram has some 18 lines for each of at most 4 new series.
    assert text.count("\n") - before < 4 * 20


async def test_scrapes_are_made_in_a_thread_once_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made_by: list[threading.Thread] = []

    def generate() -> bytes:
        made_by.append(threading.current_thread())
        time.sleep(0.05)
        return b"series"

    monkeypatch.setattr("offload.serving.scrape.generate_latest", generate)
    scrape, request = Scrape(), RequestFactory().get("/metrics")
    cancelled = asyncio.create_task(scrape.answer(request))
    await asyncio.sleep(0)
    cancelled.cancel()
    answers = await asyncio.gather(*(scrape.answer(request) for _ in range(20)))
    assert {answer.content for answer in answers} == {b"series"}
    assert len(made_by) == 1
    assert made_by[0] is not threading.main_thread()

    monkeypatch.setattr("offload.serving.scrape.TEXT_LIFETIME_SECONDS", 0.0)
    await scrape.answer(request)
    assert len(made_by) == 2


async def test_with_a_token_only_its_owner_reads_the_metrics() -> None:
    with override_settings(OFFLOAD=Offload(metrics_token="s3cret")):
        statuses = [
            (await Scrape().answer(RequestFactory().get("/metrics", headers=headers))).status_code
            for headers in (
                {},
                {"Authorization": "Bearer wrong"},
                {"Authorization": "Bearer s3cret"},
            )
        ]
    assert statuses == [401, 401, 200]
