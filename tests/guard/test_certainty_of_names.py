"""Texts and calls that were taken for something else: names, validations, timers, transports.

Each kind stands beside the mistake that it resembles. `docs/public.md` says how often the linter
was right on public projects.
"""

from pathlib import Path

import pytest
from twins import Twins, check, numbers

URLS = "from shop import views\n\nurlpatterns = [views.view]\n"
LOADS = "async def load():\n    time.sleep(1)\n\nasync def view(request, action):\n"
FORM = """
from django import forms

class OrderForm(forms.Form):
    def clean_name(self):
        Order.objects.get(name=self.cleaned_data["name"])

"""
STARTED = """
from threading import Thread

class Sender:
    def start(self):
        if self.IS_STARTED:
            return
        self.is_started = True
        Thread(target=print).start()

async def view(request):
    Sender().start()
"""
TRANSPORT = """
import httpx

class Pinned(httpx.AsyncHTTPTransport):
    async def handle_async_request(self, request):
        time.sleep(1)
        return await super().handle_async_request(request)

client = httpx.AsyncClient(transport=Pinned())

async def view(request):
"""
STOP = "async def stop(server):\n    await asyncio.wait_for(server.close()WAITS)\n\n"
NAMED = "async def view(request):\n    asyncio.create_task(stop(1))\n"

# By name: the rest of the view, and whether it names the function `load`.
USES = {
    "compared": ("return action == 'load'", False),
    "compared_with_several": ("return action in ('load', 'other')", False),
    "case": ("match action:\n        case 'load':\n            return 1", False),
    "list_of_a_coroutine": ("return ['load', 'other']", False),
    "given": ("return run('load')", True),
    "compared_and_given": ("return action == 'load' and run('load')", True),
    "compared_call": ("return action == await load()", True),
    "list_in_a_call": ("return run(['load', 'other'])", True),
    "compared_and_found": ("return action == 'load' and getattr(request, action)()", True),
}
KINDS = {
    "form_that_a_function_validates": Twins(
        "OFF101",
        "error",
        f"{FORM}async def check(form):\n    return form\n\nasync def view(request):\n"
        "    form = OrderForm(request.POST)\n    await check(form)\n    return form.errors\n",
        f"{FORM}async def check(form):\n    return await sync_to_async(form.is_valid)()\n\n"
        "async def view(request):\n    form = OrderForm(request.POST)\n"
        "    await check(form)\n    return form.errors\n",
    ),
    "form_that_a_function_validates_in_a_thread": Twins(
        "OFF101",
        "error",
        f"{FORM}async def view(request):\n    form = OrderForm(request.POST)\n"
        "    return form.errors\n",
        f"{FORM}def check(form):\n    return form.is_valid()\n\nasync def view(request):\n"
        "    form = OrderForm(request.POST)\n    await sync_to_async(check)(form)\n"
        "    return form.errors\n",
    ),
}
# By name: the rule, code with an error, and the same code where it is only likely.
DOUBTS = {
    "task_with_a_timeout": (
        "OFF501",
        STOP.replace("WAITS", ", None") + NAMED,
        STOP.replace("WAITS", ", timeout=10") + NAMED,
    ),
    "thread_of_an_object_that_starts_once": (
        "OFF505",
        STARTED.replace("IS_STARTED", "other"),
        STARTED.replace("IS_STARTED", "is_started"),
    ),
    "transport_by_which_nothing_is_sent": (
        "OFF103",
        TRANSPORT + "    return await client.get('/')\n",
        TRANSPORT + "    return Ollama(async_client=client)\n",
    ),
}


@pytest.mark.parametrize("name", USES)
def test_a_text_that_is_only_compared_names_no_function(tmp_path: Path, name: str) -> None:
    rest, is_used = USES[name]
    found = numbers(tmp_path, f"{LOADS}    {rest}\n", urls=URLS)
    assert {rule for rule, _ in found} == ({"OFF103"} if is_used else set())


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_is_told_from_the_mistake_it_resembles(tmp_path: Path, name: str) -> None:
    check(KINDS[name], tmp_path)


@pytest.mark.parametrize("name", DOUBTS)
def test_what_may_be_right_is_only_likely(tmp_path: Path, name: str) -> None:
    rule, certain, likely = DOUBTS[name]
    assert (rule, "error") in numbers(tmp_path / "certain", certain)
    found = numbers(tmp_path / "likely", likely)
    assert (rule, "warning") in found
    assert (rule, "error") not in found


def test_a_called_lambda_validates_nothing(tmp_path: Path) -> None:
    code = f"{FORM}async def view(request):\n    form = OrderForm(request.POST)\n"
    called = code + "    (lambda given: given)(form)\n    return form.errors\n"
    assert ("OFF101", "error") in numbers(tmp_path, called)
