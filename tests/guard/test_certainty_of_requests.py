"""A blocked event loop is certain to matter only where a request waits for it."""

from pathlib import Path

import pytest
from example_shop import MODELS, findings
from twins import numbers

from offload_dev.lint.calls.at_start import NO_REQUEST, UNCANCELLED

URLS = "from shop import views\n\nurlpatterns = [views.view]\n"
HANDLER = (
    "from aiogram import Router\n\nfrom django.http import HttpRequest\n\nbot = Router()\n\n"
    "@bot.message()\nasync def echo(message):\n    time.sleep(1)\n\n"
    "async def view(request):\n    {}\n"
)


@pytest.mark.parametrize(("line", "likely"), [("return None", NO_REQUEST), ("await echo(1)", "")])
def test_a_handler_of_a_bot_is_only_likely_to_hold_up_a_request(
    tmp_path: Path, line: str, likely: str
) -> None:
    found = findings(tmp_path, HANDLER.format(line), urls=URLS)
    assert [(each.rule, each.likely) for each in found] == [("OFF103", likely)]


def test_others_call_the_coroutines_of_a_library(tmp_path: Path) -> None:
    code = "async def load():\n    time.sleep(1)\n"
    assert numbers(tmp_path, code) == {("OFF103", "error")}


SWALLOWS = (
    "from aiogram import Router\n\nbot = Router()\n\n@bot.message()\nasync def echo(message):\n"
    "    try:\n        await message.answer()\n    except:\n        pass\n"
    "    await message.delete()\n\nasync def view(request):\n    {}\n"
)


@pytest.mark.parametrize(
    ("line", "likely"),
    [
        ("return None", None),
        ("await asyncio.wait_for(request.read(), 1)", UNCANCELLED),
        ("await echo(1)", ""),
    ],
)
def test_a_cancellation_matters_only_where_something_cancels(
    tmp_path: Path, line: str, likely: str | None
) -> None:
    found = findings(tmp_path, SWALLOWS.format(line), urls=URLS)
    swallowed = [each.likely for each in found if each.rule == "OFF503"]
    assert swallowed == ([] if likely is None else [likely])


@pytest.mark.parametrize(
    ("decorator", "is_found"),
    [
        ('@app.on_event("startup")', False),
        ("@dispatcher.on_startup", False),
        ("@app.command()", True),
        ('@app.on_event("message")', True),
    ],
)
def test_nothing_waits_for_a_server_that_has_not_started(
    tmp_path: Path, decorator: str, is_found: bool
) -> None:
    code = (
        f"{decorator}\nasync def begin():\n    time.sleep(1)\n\nasync def view(request):\n    1\n"
    )
    found = {rule for rule, _ in numbers(tmp_path, code, urls=URLS)}
    assert found == ({"OFF103"} if is_found else set())


@pytest.mark.parametrize(
    ("target", "is_found"),
    [("asyncio.run, args=(load(),)", False), ("print, args=(load(),)", True)],
)
def test_a_thread_may_run_a_coroutine_in_a_loop_of_its_own(
    tmp_path: Path, target: str, is_found: bool
) -> None:
    code = (
        "import threading\n\nasync def load():\n    time.sleep(1)\n\n"
        f"async def view(request):\n    threading.Thread(target={target}).start()\n"
    )
    found = {rule for rule, _ in numbers(tmp_path, code, urls=URLS)}
    assert ("OFF103" in found) is is_found


@pytest.mark.parametrize(("call", "is_found"), [("init()", False), ("Endpoint().predict()", True)])
def test_a_library_may_only_keep_what_it_is_told(tmp_path: Path, call: str, is_found: bool) -> None:
    code = "from google.cloud import aiplatform\n\nasync def view(request):\n"
    found = numbers(tmp_path, f"{code}    aiplatform.{call}\n", urls=URLS)
    assert found == ({("OFF103", "error")} if is_found else set())


PARSES = "import json\n\nasync def view(request):\n    return json.loads(request.{})\n"


@pytest.mark.parametrize(
    ("limit", "brought", "is_found"),
    [
        ("", "body", False),
        ("DATA_UPLOAD_MAX_MEMORY_SIZE = None\n", "body", True),
        ("", "FILES['a']", True),
    ],
)
def test_the_limit_of_django_keeps_bodies_short_and_no_files(
    tmp_path: Path, limit: str, brought: str, is_found: bool
) -> None:
    settings = "INSTALLED_APPS = []\n" + limit
    found = numbers(tmp_path, PARSES.format(brought), settings=settings, urls=URLS)
    assert found == ({("OFF205", "warning")} if is_found else set())


@pytest.mark.parametrize(
    ("method", "is_found"), [("showPage()", True), ("drawString(1, 1, 'a')", False)]
)
def test_a_line_of_text_is_short_and_a_page_is_not(
    tmp_path: Path, method: str, is_found: bool
) -> None:
    code = (
        "from reportlab.pdfgen import canvas\n\ndef view(request):\n"
        "    page = canvas.Canvas(request)\n    for order in Order.objects.all():\n"
        f"        page.{method}\n"
    )
    found = numbers(tmp_path, code, urls=URLS)
    assert (("OFF203", "warning") in found) is is_found


APP = (
    "from celery import Celery\n\napp = Celery('shop')\n"
    "app.config_from_object('django.conf:settings'{})\n"
)
BACKENDS = 'CELERY_BACKEND = "redis://a"\n'
SCHEDULER = 'CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"\n'


@pytest.mark.parametrize(
    ("settings", "is_found"),
    [(BACKENDS, True), (BACKENDS + 'CELERY_RESULT_BACKEND = "django-db"\n', False)],
)
def test_an_unread_name_beside_the_right_one_changes_nothing(
    tmp_path: Path, settings: str, is_found: bool
) -> None:
    app = APP.format(", namespace='CELERY'")
    found = findings(tmp_path, "", celery=app, settings="INSTALLED_APPS = []\n" + settings)
    assert any("does not read" in each.message for each in found) is is_found


@pytest.mark.parametrize("option", ["", " --scheduler=django_celery_beat.schedulers"])
def test_an_option_of_the_command_takes_the_place_of_a_setting(tmp_path: Path, option: str) -> None:
    (tmp_path / "Procfile").write_text(f"beat: celery -A shop beat{option}\n")
    app = APP.format("")
    found = findings(tmp_path, "", celery=app, settings="INSTALLED_APPS = []\n" + SCHEDULER)
    assert any("does not read" in each.message for each in found) is (option == "")


UNSAFE = 'import os\n\nos.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"\n'


@pytest.mark.parametrize(("manage", "severity"), [("", "error"), (UNSAFE, "warning")])
def test_a_query_that_django_permits_blocks_only_those_who_wait(
    tmp_path: Path, manage: str, severity: str
) -> None:
    code = HANDLER.format("return None").replace("time.sleep(1)", "Order.objects.first()")
    found = numbers(tmp_path, code, urls=URLS, manage=manage)
    assert ("OFF101", severity) in found


@pytest.mark.parametrize(
    ("settings", "severity"), [("ASGI_APPLICATION = 'shop.asgi.app'\n", "error"), ("", "warning")]
)
def test_the_permission_matters_where_an_async_server_may_run(
    tmp_path: Path, settings: str, severity: str
) -> None:
    found = numbers(tmp_path, "", manage=UNSAFE, settings="INSTALLED_APPS = []\n" + settings)
    assert found == {("OFF701", severity)}


ACCEPTS = """
from asgiref.sync import sync_to_async

class Request(models.Model):
    asked_by = models.ForeignKey("Customer", models.CASCADE)

    def accept(self):
        self.asked_by.save()

    def refuse(self):
        self.delete()
"""


@pytest.mark.parametrize(
    ("lines", "is_found"),
    [
        ("await sync_to_async(asked.refuse)()", True),
        ("await sync_to_async(asked.accept)()", False),
        ("await sync_to_async(asked.accept)()\n    asked = await Request.objects.aget(pk=2)", True),
        ("if request.GET:\n        await sync_to_async(asked.accept)()", True),
    ],
)
def test_a_method_that_ran_before_has_read_the_relation(
    tmp_path: Path, lines: str, is_found: bool
) -> None:
    code = (
        "from asgiref.sync import sync_to_async\n\nfrom .models import Request\n\n"
        "async def view(request):\n    asked = await Request.objects.aget(pk=1)\n"
        f"    {lines}\n    return asked.asked_by.name\n"
    )
    found = numbers(tmp_path, code, models=MODELS + ACCEPTS, urls=URLS)
    assert (("OFF102", "error") in found) is is_found


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("self.owner = await Customer.objects.aget()", 0),
        ("self.pk", 1),
        ("if self.pk:\n            self.owner = await Customer.objects.aget()", 1),
    ],
)
def test_a_row_reads_its_relation_once_and_not_one_that_it_has_set(
    tmp_path: Path, line: str, count: int
) -> None:
    model = (
        "\nclass Game(models.Model):\n    owner = models.ForeignKey('Customer', models.CASCADE)\n\n"
        f"    async def run(self):\n        {line}\n"
        "        return self.owner.name + self.owner.name\n"
    )
    view = "from .models import Game\n\nasync def view(request):\n    game = Game()\n"
    view += "    await game.run()\n"
    found = findings(tmp_path, view, models=MODELS + model, urls=URLS)
    assert sum(each.rule == "OFF102" and each.path.endswith("models.py") for each in found) == count


@pytest.mark.parametrize(("server", "is_found"), [("uvicorn", True), ("gunicorn", False)])
def test_a_sync_iterator_streams_under_a_plain_server(
    tmp_path: Path, server: str, is_found: bool
) -> None:
    code = (
        "from django.http import StreamingHttpResponse\n\n"
        "async def other(request):\n    return 1\n\n"
        "def view(request):\n    return StreamingHttpResponse(line for line in range(9))\n"
    )
    (tmp_path / "requirements.txt").write_text(f"django\n{server}\n")
    settings = "INSTALLED_APPS = []\nWSGI_APPLICATION = 'shop.wsgi.app'\n"
    found = numbers(tmp_path, code, settings=settings, urls=URLS, asgi="")
    assert ("OFF108" in {rule for rule, _ in found}) is is_found
