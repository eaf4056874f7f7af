"""What only shares the name of a function does not run it."""

from pathlib import Path

import pytest
from example_shop import findings
from twins import numbers

from offload_dev.lint.grade import grade
from offload_dev.lint.source.project import Project

URLS = "from shop import views\n\nurlpatterns = [views.view]\n"
SLEEPS = "async def load():\n    time.sleep(1)\n\n"
VIEW = "async def view(request):\n    return {}\n"
METHOD = "class Store:\n    async def load(self):\n        time.sleep(1)\n\n"
CYCLE = (
    "async def outer():\n    await load()\n\n"
    "async def load():\n    time.sleep(1)\n    await outer()\n\n"
)
ABSTRACT = (
    "import abc\n\nclass Base(abc.ABC):\n    async def load(self):\n        time.sleep(1)\n\n"
    "class Shop(Base):\n    async def all_paid(self):\n        return await self.load()\n\n"
)
MIXIN = (
    "class Loads:\n    async def load(self):\n        time.sleep(1)\n\n"
    "class Uses:\n    async def run_it(self):\n        await self.load()\n\n"
)
# By name: the code, and whether it runs the line that blocks.
CASES = {
    "local_variable": (SLEEPS + "async def view(request):\n    load = 1\n    return load\n", False),
    "function": (SLEEPS + "async def view(request):\n    return await load()\n", True),
    "value_of_another_module": (SLEEPS + VIEW.replace("{}", "texts.load"), False),
    "other_name": (
        SLEEPS
        + "from shop import other_names\n\n"
        + VIEW.replace("{}", "await other_names.other()"),
        True,
    ),
    "argument_of_its_name": (SLEEPS + VIEW.replace("{}", "dict(load=1)"), False),
    "word_in_a_sentence": (SLEEPS + VIEW.replace("{}", "'cannot load it'"), False),
    "name_in_a_text": (SLEEPS + VIEW.replace("{}", "'shop.views.load'"), True),
    "function_for_a_method": (METHOD + VIEW.replace("{}", "Store(), texts.load"), False),
    "method": (METHOD + VIEW.replace("{}", "await Store().load()"), True),
    "method_of_something": (METHOD + "async def view(request, it):\n    Store, it.load()\n", True),
    "functions_that_call_each_other": (CYCLE + VIEW, False),
    "functions_that_a_view_calls": (CYCLE + VIEW.replace("{}", "await outer()"), True),
    "base_of_what_nobody_calls": (ABSTRACT + VIEW.replace("{}", "Shop()"), False),
    "base_of_what_a_view_calls": (ABSTRACT + VIEW.replace("{}", "await Shop().all_paid()"), True),
    "class_of_its_own": (MIXIN + VIEW.replace("{}", "Loads(), await Uses().run_it()"), False),
    "class_that_both_have": (
        MIXIN + "class Both(Uses, Loads):\n    pass\n\n" + VIEW.replace("{}", "Both().run_it()"),
        True,
    ),
    "mixin_of_a_view": (
        "class Slow:\n    async def get(self, request):\n        time.sleep(1)\n\n"
        "class Page(Slow, View):\n    pass\n\n" + VIEW.replace("{}", "Page.as_view()"),
        True,
    ),
}
CONSUMER = (
    "from channels.generic.websocket import AsyncJsonWebsocketConsumer\n\n"
    "class Chat(AsyncJsonWebsocketConsumer):\n"
    "    async def receive_json(self, content, kind='a'):\n        await SENT\n\n"
    "    async def chat_title(self, event):\n        time.sleep(1)\n"
)
GROUP_SEND = "self.channel_layer.group_send('a', {'type': TYPE, 'title': 1})"
SENT = {
    "a_message": (GROUP_SEND.replace("TYPE", "'chat.title'"), True),
    "a_message_whose_end_is_not_known": (GROUP_SEND.replace("TYPE", "f'chat.{kind}'"), True),
    "a_message_to_others": (GROUP_SEND.replace("TYPE", "'chat.other'"), False),
    "a_message_to_the_browser": ("self.send_json({'type': 'chat_title'})", False),
    "a_key": (GROUP_SEND.replace("TYPE", "'chat.other'").replace("'title'", "'chat_title'"), False),
}


@pytest.mark.parametrize("name", CASES)
def test_a_name_runs_what_it_stands_for(tmp_path: Path, name: str) -> None:
    code, is_run = CASES[name]
    others = {
        "texts": "load = 'load it'\n",
        "other_names": "from shop.views import load as other\n",
    }
    found = numbers(tmp_path, "from shop import texts\n\n" + code, urls=URLS, **others)
    assert ("OFF103" in {rule for rule, _ in found}) is is_run


@pytest.mark.parametrize("name", SENT)
def test_a_consumer_gets_only_messages_of_the_channel_layer(tmp_path: Path, name: str) -> None:
    sent, is_run = SENT[name]
    urls = URLS.replace("views.view", "views.Chat.as_asgi()")
    found = numbers(tmp_path, CONSUMER.replace("SENT", sent), urls=urls)
    assert (("OFF103", "error") in found) is is_run


def test_two_packages_may_have_one_name(tmp_path: Path) -> None:
    code = "import shop.views\n\n" + SLEEPS + VIEW.replace("{}", "await shop.views.load()")
    for folder in ("first", "second"):
        findings(tmp_path / folder, code, urls=URLS)
    found = [each.path for each in grade(Project(tmp_path)) if each.rule == "OFF103"]
    assert found == ["first/shop/views.py", "second/shop/views.py"]


def test_a_folder_inside_of_a_package_may_be_on_the_path(tmp_path: Path) -> None:
    code = "from common.loads import load\n\n" + VIEW.replace("{}", "await load()")
    others = {"common/__init__": "", "common/loads": "import time\n\n" + SLEEPS}
    for name, given, count in (("used", code, 1), ("unused", VIEW, 0)):
        found = numbers(tmp_path / name, given + "\nprint('loads')\n", urls=URLS, **others)
        assert len(found & {("OFF103", "warning")}) == count, name


def test_a_task_may_be_published_by_a_name_of_its_own(tmp_path: Path) -> None:
    task = "from celery import shared_task\n\n@shared_task({})\ndef work():\n"
    task += "    return requests.get('https://x.test')\n\n"
    for name, given, count in (("own", "name='run'", 1), ("none", "bind=True", 0)):
        found = numbers(tmp_path / name, task.format(given) + VIEW, urls=URLS)
        assert len(found & {("OFF405", "warning")}) == count, name
