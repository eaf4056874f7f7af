"""The checks at start: errors stop the process with their sentences, warnings are logged once."""

import asyncio
import logging
from typing import Any

import pytest
from django.conf import settings
from django.core import checks
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path
from django.views.decorators.cache import cache_page

from offload import guard
from offload.guard.checks import StartRefused, run_checks


async def test_an_error_stops_the_start_with_the_place_and_what_to_write_instead() -> None:
    state: dict[str, Any] = {}
    wrong = override_settings(CELERY_TASK_ALWAYS_EAGER=True, CELERY_TASK_MAX_RETRIES=3)
    with wrong, pytest.raises(StartRefused) as refused:
        async with guard.lifespan(state):
            pass
    sentences = str(refused.value).splitlines()
    assert len(sentences) == 3, "a head, and one for each fault"
    assert "CELERY_TASK_MAX_RETRIES" in str(refused.value)
    assert all("Instead:" in sentence and "docs/guard/E7" in sentence for sentence in sentences[1:])


def test_names_that_celery_still_takes_are_no_fault() -> None:
    """Celery 5.7 takes the names of its third version, also with the prefix of a namespace."""
    with override_settings(CELERY_IGNORE_RESULT=True, CELERY_SEND_EVENTS=True):
        run_checks()
    with override_settings(CELERY_POOL_LIMIT=3), pytest.raises(StartRefused, match="POOL_LIMIT"):
        run_checks()


def test_middleware_that_a_library_adds_after_setup_is_seen() -> None:
    run_checks()
    with (
        override_settings(MIDDLEWARE=["test_checks.SyncOnly"]),
        pytest.raises(StartRefused, match="SyncOnly"),
    ):
        run_checks()


@pytest.mark.parametrize("name", ["API_MIDDLEWARES", "API_MIDLEWARE", "APIMIDDLEWARE"])
def test_a_misspelt_api_middleware_stops_the_start(name: str) -> None:
    """Without it the API would pass MIDDLEWARE, and nothing would say so."""
    with override_settings(API_MIDDLEWARE=[], **{name: []}):
        run_checks()
        del settings.API_MIDDLEWARE
        with pytest.raises(StartRefused, match=f"{name}.*did you mean API_MIDDLEWARE"):
            run_checks()


def test_a_service_may_have_one_chain_and_settings_of_its_own() -> None:
    with override_settings(APP_MIDDLEWARE=[], API_PREFIX="/v1/"):
        del settings.API_MIDDLEWARE
        run_checks()


async def test_a_start_logs_each_warning_once(caplog: pytest.LogCaptureFixture) -> None:
    with (
        override_settings(CELERY_RESULT_BACKEND="redis://127.0.0.1/1"),
        caplog.at_level(logging.WARNING),
    ):
        async with guard.lifespan({}):
            await asyncio.sleep(0)
    assert len([record for record in caplog.records if "W712" in record.message]) == 1


def test_a_silenced_check_stays_silent() -> None:
    with override_settings(CELERY_TASK_ALWAYS_EAGER=True, SILENCED_SYSTEM_CHECKS=["offload.E708"]):
        run_checks()


def test_manage_py_check_runs_the_same() -> None:
    with override_settings(CELERY_TASK_ALWAYS_EAGER=True):
        assert "offload.E708" in {message.id for message in checks.run_checks()}


class SyncOnly:
    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response


async def cached(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


urlpatterns = [path("cached", cache_page(60)(cached))]


@override_settings(ROOT_URLCONF=__name__)
def test_an_async_view_under_cache_page_is_found() -> None:
    with pytest.raises(StartRefused, match=r"offload\.E706: View test_checks\.cached is async"):
        run_checks()
