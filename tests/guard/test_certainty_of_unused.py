"""What nothing in a service runs: views without a URL, files that no file names, and the like."""

from pathlib import Path

import pytest
from example_shop import findings
from twins import Twins, check, numbers

URLS = "from shop import views\n\nurlpatterns = [LINE]\n"
LOADS = "def load():\n    return requests.get('https://x.test')\n\n"
PLAIN = "def view(request):\n    return load()\n"
WRAPPED = "from django.views.decorators.csrf import csrf_exempt\n\n@csrf_exempt\n" + PLAIN
OF_CLASS = (
    "from django.views import View\n\nclass Orders(View):\n    async def get(self, request):\n"
    "        time.sleep(1)\n"
)
CONSUMER = (
    "from channels.generic.websocket import AsyncWebsocketConsumer\n\n"
    "class Chat(AsyncWebsocketConsumer):\n    async def receive(self, text_data):\n"
    "        await self.send(type='chat.TYPE')\n\n    async def chat_title(self, event):\n"
    "        time.sleep(1)\n"
)
TOOL = (
    "from langchain_core.tools import BaseTool\n\nclass Find(BaseTool):\n"
    "    async def _arun(self, name):\n        time.sleep(1)\n\n"
)
REMOTE = """
def locate(place, remote=False):
    try:
        if not remote:
            return place
        return requests.get(place, timeout=1)
    except OSError:
        return place

async def view(request):
"""
STAGE = (
    "from pulpcore.plugin.stages import BASE\n\nclass Fetch(BASE):\n    async def run(self):\n"
    "        time.sleep(1)\n"
)
CASES = {
    "branch_that_a_switch_closes": Twins(
        "OFF103",
        "error",
        REMOTE + "    return locate('/', remote=True)\n",
        REMOTE + "    return locate('/')\n",
    ),
    "stage_of_a_process_of_its_own": Twins(
        "OFF103",
        "error",
        STAGE.replace("BASE", "Artifact"),
        STAGE.replace("BASE", "Stage"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_line_that_nobody_waits_for_is_told_from_one_that_matters(
    tmp_path: Path, name: str
) -> None:
    check(CASES[name], tmp_path)


@pytest.mark.parametrize(
    ("code", "url"),
    [
        (LOADS + PLAIN, "views.view"),
        (LOADS + WRAPPED, "views.view"),
        (OF_CLASS, "views.Orders.as_view()"),
        (CONSUMER.replace("TYPE", "title"), "views.Chat.as_asgi()"),
    ],
)
def test_a_view_without_a_url_is_not_run(tmp_path: Path, code: str, url: str) -> None:
    def with_urls(place: str, line: str) -> set[tuple[str, str]]:
        return numbers(tmp_path / place, code, urls=URLS.replace("LINE", line))

    assert len(with_urls("used", url)) == 1
    assert with_urls("exported", f'"{url}"') == with_urls("again", url)
    assert with_urls("unused", "") == set()


def test_a_file_that_no_file_names_is_not_run(tmp_path: Path) -> None:
    sample = (
        "import time\n\nfrom django.http import JsonResponse\n\n"
        "async def load(request):\n    time.sleep(1)\n\nLOADERS = [load]\n"
    )
    assert numbers(tmp_path / "unused", "", urls="", sample=sample) == set()
    for place, more, severity in (
        ("imported", "from shop import sample\n", "error"),
        ("named", "LOADERS = 'shop.sample.LOADERS'\n", "error"),
        ("looked_for", "import pkgutil\n\nlist(pkgutil.iter_modules(__path__))\n", "warning"),
    ):
        found = numbers(tmp_path / place, "", urls=more, sample=sample)
        assert found == {("OFF103", severity)}, place
    for name in ("tasks", "admin", "management/commands/serve"):
        started = sample + "\nprint(load)\n" if "/" in name else sample
        found = numbers(tmp_path / name.replace("/", "_"), "", urls="", **{name: started})
        assert found == (set() if "/" in name else {("OFF103", "error")}), name


def test_a_text_in_the_middle_of_a_line_hides_no_code(tmp_path: Path) -> None:
    code = 'QUERY = """\nselect 1\n"""\n\n' + LOADS + PLAIN + '\nMORE = """\nselect 2\n"""\n'
    urls = URLS.replace("LINE", "views.view")
    assert numbers(tmp_path / "used", code, urls=urls) == {("OFF405", "warning")}


def test_what_two_unused_functions_name_counts_once(tmp_path: Path) -> None:
    outer = "def outer():\n    def inner():\n        load()\n\n    print(1)\n"
    urls = URLS.replace("LINE", "views.view")
    found = numbers(tmp_path / "used", f"{LOADS}{outer}\n{PLAIN}", urls=urls)
    assert found == {("OFF405", "warning")}


def test_a_name_inside_of_an_unused_method_counts_once(tmp_path: Path) -> None:
    code = (
        "class Api:\n    async def unused(self):\n        Api()\n        Api()\n\n"
        "    async def load(self):\n        time.sleep(1)\n\n"
        "async def view(request):\n    await Api().load()\n"
    )
    urls = URLS.replace("LINE", "views.view")
    assert numbers(tmp_path / "used", code, urls=urls) == {("OFF103", "error")}


def test_a_class_that_makes_itself_known_is_used(tmp_path: Path) -> None:
    base = "class Base:\n    def __init_subclass__(cls):\n        CLASSES.append(cls)\n\n"
    heir = "class Heir(BASE):\n    async def send_it(self):\n        time.sleep(1)\n"
    urls = URLS.replace("LINE", "views.view")
    use = "CLASSES = []\n\nasync def view(request):\n    await CLASSES[0].send_it()\n"
    for name, count in {"Base": 1, "object": 0}.items():
        code = base + heir.replace("BASE", name) + use
        assert len(numbers(tmp_path / name, code, urls=urls)) == count, name


def test_a_method_may_be_found_by_a_part_of_its_name(tmp_path: Path) -> None:
    code = CONSUMER.replace("TYPE", "other").replace(
        "self.send(", "getattr(self, f'chat_{text_data}')("
    )
    urls = URLS.replace("LINE", "views.Chat")
    assert numbers(tmp_path / "found", code, urls=urls) == {("OFF103", "error")}


def test_a_message_names_the_method_of_a_consumer(tmp_path: Path) -> None:
    for kind, count in {"title": 1, "other": 0}.items():
        urls = URLS.replace("LINE", "views.Chat")
        found = numbers(tmp_path / kind, CONSUMER.replace("TYPE", kind), urls=urls)
        assert len(found) == count, kind


def test_a_tool_is_awaited_only_by_an_awaited_agent(tmp_path: Path) -> None:
    for call, count in {"await agent.ainvoke(text)": 1, "agent.invoke(text)": 0}.items():
        code = f"{TOOL}async def view(request, agent, text):\n    {call}\n    return Find\n"
        urls = URLS.replace("LINE", "views.view")
        assert len(numbers(tmp_path / str(count), code, urls=urls)) == count


def test_a_plain_server_has_no_event_loop_that_waits_for_the_core(tmp_path: Path) -> None:
    code = (
        "import io\n\nfrom PIL import Image\n\ndef view(request):\n"
        "    return [Image.open(each).resize((9, 9)) for each in request.FILES]\n"
    )
    others = {"urls": URLS.replace("LINE", "views.view"), "wsgi": ""}
    assert ("OFF203", "warning") in numbers(tmp_path / "both", code, asgi="", **others)
    assert numbers(tmp_path / "plain", code, **others) == set()


def test_a_variable_of_a_thread_is_right_where_one_thread_runs_a_request(tmp_path: Path) -> None:
    keep = (
        "import threading\n\nlocal = threading.local()\n\ndef keep(user):\n    local.user = user\n"
    )
    urls = URLS.replace("LINE", "views.keep")
    assert numbers(tmp_path / "plain", keep, urls=urls) == set()
    mixed = keep + "\nasync def view(request):\n    return keep(request)\n"
    found = numbers(tmp_path / "mixed", mixed, urls=urls.replace("keep", "view"))
    assert found == {("OFF506", "warning")}


def test_settings_that_somebody_has_put_aside_are_not_read(tmp_path: Path) -> None:
    text = (
        "DATABASES = {'default': {'CONN_MAX_AGE': 60}}\nASGI_APPLICATION = 'x.asgi.application'\n"
    )
    assert ("OFF701", "warning") in numbers(tmp_path / "used", "", **{"settings/base": text})
    assert numbers(tmp_path / "aside", "", **{"settings/base_backup": text}) == set()


def test_a_thread_far_from_the_view_is_started_under_a_condition(tmp_path: Path) -> None:
    near = "import threading\n\ndef start():\n    threading.Thread(target=print).start()\n\n"
    far = "".join(f"def f{n}():\n    {'start' if n == 0 else f'f{n - 1}'}()\n\n" for n in range(3))
    found = numbers(tmp_path / "near", near + "def view(request):\n    start()\n")
    assert ("OFF505", "warning") in found
    assert numbers(tmp_path / "far", near + far + "def view(request):\n    f2()\n") == set()


INSTALLED = """
class Switch:
    sync_capable = async_capable = True

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.__acall__(request)

    async def __acall__(self, request):
        time.sleep(1)
        return await self.get_response(request)

class Plain:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)
"""


def test_middleware_above_one_that_is_sync_only_is_never_awaited(tmp_path: Path) -> None:
    for name, order, count in (("below", "Plain Switch", 1), ("above", "Switch Plain", 0)):
        installed = [f"shop.views.{each}" for each in order.split()]
        settings = f"MIDDLEWARE = {installed}\nDATABASES = INSTALLED_APPS = []\n"
        found = numbers(tmp_path / name, INSTALLED, settings=settings, urls="urlpatterns = []\n")
        assert len(found & {("OFF103", "error")}) == count, name


def test_django_does_not_look_for_an_async_call(tmp_path: Path) -> None:
    urls = {"urls": URLS.replace("LINE", "views.Switch")}
    code = INSTALLED.replace("return self.__acall__(request)", "return None")
    assert ("OFF103", "error") in numbers(tmp_path / "named", INSTALLED, **urls)
    assert numbers(tmp_path / "hidden", code, **urls) == set()


def test_a_branch_that_a_true_argument_closes_is_not_run(tmp_path: Path) -> None:
    code = (
        "def add(url, later=False):\n    if not later:\n        time.sleep(1)\n\n"
        "async def view(request):\n    add('/', later=True)\n"
    )
    assert numbers(tmp_path / "closed", code) == set()
    for name, given in {"open": "later=False", "default": ""}.items():
        found = numbers(tmp_path / name, code.replace("later=True", given))
        assert found == {("OFF103", "error")}, name
    unknown = numbers(tmp_path / "unknown", code.replace("later=True", "later=request.x"))
    assert unknown == {("OFF103", "warning")}


def test_an_app_that_is_made_with_a_namespace_reads_the_prefix(tmp_path: Path) -> None:
    app = "from celery import Celery\n\napp = Celery('shop'GIVEN)\n"
    app += "app.config_from_object('django.conf:settings')\n"
    settings = "CELERY_BEAT_SCHEDULE = {}\nDATABASES = INSTALLED_APPS = []\n"
    for name, given, count in (("without", "", 1), ("with", ", namespace='CELERY'", 0)):
        celery = app.replace("GIVEN", given)
        found = numbers(tmp_path / name, "", celery=celery, settings=settings)
        assert len(found & {("OFF701", "error")}) == count, name


def test_below_a_branch_for_async_callers_no_loop_runs(tmp_path: Path) -> None:
    code = (
        "def load(pk):\n    if is_async():\n        DO load_in_thread(pk)\n    time.sleep(1)\n\n"
        "async def view(request):\n    load(1)\n"
    )
    assert numbers(tmp_path / "returns", code.replace("DO", "return")) == set()
    found = numbers(tmp_path / "goes_on", code.replace("DO", "pk ="))
    assert found == {("OFF103", "error")}


def test_a_user_is_fetched_once(tmp_path: Path) -> None:
    code = (
        "async def view(request: HttpRequest):\n    if request.user.is_authenticated:\n"
        "        return request.user.pk\n"
    )
    (found,) = findings(tmp_path, "from django.http import HttpRequest\n\n" + code)
    assert (found.rule, found.severity) == ("OFF102", "error")


def test_a_lock_that_nobody_waits_for_needs_no_limit(tmp_path: Path) -> None:
    code = (
        "from django.core.cache import cache\n\ndef work():\n    lock = cache.lock('report')\n"
        "    return lock.acquire(GIVEN)\n"
    )
    for given, count in {"": 1, "blocking=True": 1, "blocking=False": 0}.items():
        found = numbers(tmp_path / f"given_{given[9:]}", code.replace("GIVEN", given))
        assert len(found & {("OFF405", "warning")}) == count, given


def test_routes_that_nothing_includes_are_not_run(tmp_path: Path) -> None:
    routes = {
        "extra/urls": URLS.replace("LINE", "views.view"),
        "settings": "ROOT_URLCONF = 'shop.urls'\n",
    }
    for name, line, count in (
        ("included", "include('shop.extra.urls')", 1),
        ("imported", "include(urls)]\nfrom shop.extra import urls\n[0", 1),
        ("imported_on_lines", "include(urls)]\nfrom shop.extra import (\n    urls,\n)\n[0", 1),
        ("joined", "include(settings.APP + '.urls')", 1),
        ("found", "*(include(f'{app}.urls') for app in settings.APPS)", 1),
        ("left_out", "include('shop.other.urls')", 0),
    ):
        urls = URLS.replace("LINE", line)
        found = numbers(tmp_path / name, LOADS + PLAIN, urls=urls, **routes)
        assert len(found & {("OFF405", "warning")}) == count, name
    del routes["settings"]
    found = numbers(tmp_path / "no_settings", LOADS + PLAIN, urls="urlpatterns = []\n", **routes)
    assert ("OFF405", "warning") in found


SEARCH = """
from django.conf import settings

class Search:
    def __init__(self):
        self.is_semantic = getattr(settings, "SEMANTIC", DEFAULT)

    def rank(self, found):
        if not self.is_semantic:
            return found
        time.sleep(1)

async def view(request):
    if getattr(settings, "SLOW", DEFAULT):
        time.sleep(2)
    return Search().rank([])
"""


@pytest.mark.parametrize(
    ("default", "settings", "is_run"),
    [
        ("False", "INSTALLED_APPS = DATABASES = []\n", False),
        ("True", "INSTALLED_APPS = DATABASES = []\n", True),
        ("False", "INSTALLED_APPS = DATABASES = []\nSEMANTIC = SLOW = on()\n", True),
        # Those of a library are somewhere else.
        ("False", "", True),
    ],
)
def test_what_a_setting_switches_on_that_no_file_gives_is_not_run(
    tmp_path: Path, default: str, settings: str, is_run: bool
) -> None:
    code = SEARCH.replace("DEFAULT", default)
    found = findings(tmp_path, code, **({"settings": settings} if settings else {}))
    assert [each.rule for each in found if each.rule == "OFF103"] == ["OFF103"] * 2 * is_run


SWITCHES = """
from django.conf import settings

FLUSHES = getattr(settings, "FLUSHES", None)

def send():
    if FLUSHES:
        time.sleep(1)

async def view(request):
    send()

async def other(request):
    if not settings.FLUSHES:
        return
    time.sleep(1)

async def third(request):
    if request and settings.FLUSHES:
        time.sleep(1)
"""


@pytest.mark.parametrize(
    ("value", "severity"),
    [
        ("False", "warning"),
        ("env.bool('FLUSHES', default=False)", "warning"),
        ("env('FLUSHES', False)", "warning"),
        ("os.getenv('FLUSHES', 'no').lower() in ('1', 'yes')", "warning"),
        ("bool(int(os.getenv('FLUSHES', '0')))", "warning"),
        ("True", "error"),
        ("env.bool('FLUSHES', default=True)", "error"),
        ("env.bool('FLUSHES')", "error"),
    ],
)
def test_what_a_setting_that_is_off_would_run_is_only_likely(
    tmp_path: Path, value: str, severity: str
) -> None:
    settings = f"import os\n\nINSTALLED_APPS = DATABASES = []\nFLUSHES = {value}\n"
    found = [e for e in findings(tmp_path, SWITCHES, settings=settings) if e.rule == "OFF103"]
    assert [each.severity for each in found] == [severity] * 3
    is_told = ["`FLUSHES`" in each.likely for each in found]
    assert is_told == [severity == "warning"] * 3


def test_an_attribute_that_is_assigned_to_itself_asks_for_no_setting(tmp_path: Path) -> None:
    code = """
class Search:
    def __init__(self):
        self.fast = self.fast
        self.near = self.far
        self.far = self.near

    def rank(self):
        if self.fast or self.near:
            time.sleep(1)
        if self.fast:
            time.sleep(2)
        if self.near:
            time.sleep(3)

async def view(request):
    Search().rank()
"""
    assert "OFF103" in [each.rule for each in findings(tmp_path, code)]


def test_one_file_of_settings_that_turns_a_setting_on_is_enough(tmp_path: Path) -> None:
    files = {"settings/base": "FLUSHES = False\n", "settings/production": "FLUSHES = True\n"}
    found = [each for each in findings(tmp_path, SWITCHES, **files) if each.rule == "OFF103"]
    assert [each.severity for each in found] == ["error"] * 3
