"""What costs little, gives up at once, or is started by hand: nothing is said of it."""

from pathlib import Path

import pytest
from example_shop import findings
from twins import Twins, check, numbers

ZIP = (
    "import zipfile\n\nasync def view(request):\n    with zipfile.ZipFile('a', 'w'{}) as archive:\n"
)
ZIP += "        archive.write('b')\n"
TASK = "from celery import shared_task\n\n@shared_task(bind=True, retry_backoff=True)\n"
TASK += "def send(self):\n    raise self.retry({})\n"
LOCK = "from django.core.cache import cache\n\nasync def view(request):\n"
LOCK += "    with cache.lock('a', timeout=5{}):\n        return None\n"
IN_THREAD = (
    "import difflib\n\nasync def view(request):\n    await asyncio.to_thread({}, 'a', 'b')\n"
)
PICTURE = "from PIL import Image\n\nasync def view(request):\n    Image.open('a').{}()\n"
BRANCH = (
    "async def load({}):\n    if path:\n        time.sleep(1)\n\n"
    "async def view(request):\n    await load({})\n"
)
LOADS = "import {}\n\ndef load():\n    return requests.get('https://x.test')\n"
RUNS_ONE = """
from asgiref.sync import sync_to_async

def count():
    return Order.objects.count()

def draw():
    return sum(number for number in range(9_000_000))

def run(work, name):
    return work()

async def view(request):
    await sync_to_async(run)({}, "a")

def later():
    run({}, "b")
"""
PARSES = "import json\n\nasync def view(request):\n    if {}:\n        return None\n"
PARSES += "    return json.loads(request.body)\n"
TWINS = {
    "body_behind_a_secret": Twins(
        "OFF205",
        "warning",
        PARSES.format("request.GET.get('short')"),
        PARSES.format("request.headers.get('X-Secret') != settings.WEBHOOK_SECRET"),
    ),
    "body_behind_a_secret_address": Twins(
        "OFF205",
        "warning",
        PARSES.format("not request.GET") + "\nurlpatterns = [path('<TOKEN>/', view)]\n",
        PARSES.format("not request.GET") + "\nurlpatterns = [path(f'{BOT_TOKEN}/', view)]\n",
    ),
    "function_that_is_handed_over": Twins(
        "OFF203", "error", RUNS_ONE.format("draw", "count"), RUNS_ONE.format("count", "draw")
    ),
    "differences_of_two_files": Twins(
        "OFF203",
        "error",
        IN_THREAD.format("difflib.HtmlDiff().make_file"),
        IN_THREAD.format("difflib.unified_diff"),
    ),
    "picture_that_is_decoded": Twins(
        "OFF201", "error", PICTURE.format("load"), PICTURE.format("verify")
    ),
    "branch_that_an_argument_opens": Twins(
        "OFF103", "error", BRANCH.format("path=None", "'a'"), BRANCH.format("path=None", "")
    ),
    "branch_that_an_argument_may_open": Twins(
        "OFF103",
        "error",
        BRANCH.format("path=None", "request.GET['a']"),
        BRANCH.format("path=None", "path=None"),
    ),
    "archive_that_is_compressed": Twins(
        "OFF201", "error", ZIP.format(", zipfile.ZIP_DEFLATED"), ZIP.format("")
    ),
    "task_that_paces_its_retries": Twins(
        "OFF701", "error", TASK.format(""), TASK.format("countdown=60")
    ),
    "task_that_its_queue_ends": Twins(
        "OFF405", "warning", LOADS.format("huey"), LOADS.format("django_rq")
    ),
    "lock_that_is_not_waited_for": Twins(
        "OFF103", "error", LOCK.format(""), LOCK.format(", blocking=False")
    ),
}


@pytest.mark.parametrize("name", TWINS)
def test_what_costs_little_is_right(tmp_path: Path, name: str) -> None:
    check(TWINS[name], tmp_path)


def test_a_branch_is_open_if_others_may_call_the_function(tmp_path: Path) -> None:
    code = BRANCH.format("path=None", "")
    for name, more in {"handed_on": "    asyncio.run(load)\n", "alone": ""}.items():
        found = numbers(tmp_path / name, code + more)
        assert (("OFF103", "error") in found) is bool(more), name


def test_two_options_for_one_purpose_are_one_finding(tmp_path: Path) -> None:
    options = {"one": "interval_start=1", "two": "interval_start=1, interval_step=1"}
    for name, given in options.items():
        code = (
            f"from celery import shared_task\n\n@shared_task({given})\ndef work():\n    return 1\n"
        )
        assert [f.rule for f in findings(tmp_path / name, code)] == ["OFF701"], name


def test_a_helper_that_calls_a_service_is_said_once(tmp_path: Path) -> None:
    code = (
        "from django.db import transaction\n\ndef notify():\n"
        "    requests.post('https://x.test', timeout=3)\n\n"
        "def work(row):\n    with transaction.atomic():\n"
        "        if row:\n            notify()\n        notify()\n"
        "        requests.get('https://y.test', timeout=3)\n"
    )
    found = [each.subject for each in findings(tmp_path, code) if each.rule == "OFF110"]
    assert found == ["requests.post()", "requests.get()"]


CACHED = "from django.core.cache import cache\n\nasync def view(request):\n    cache.get('a')\n"


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ("INSTALLED_APPS = DATABASES = {}\n", 0),
        ("INSTALLED_APPS = DATABASES = {}\nCACHES = caches()\n", 1),
        ("from platform_of_the_team.settings import *\n\nINSTALLED_APPS = DATABASES = {}\n", 1),
        ("DATABASES = {}\n", 1),
        ("", 1),
    ],
)
def test_a_service_without_caches_has_one_in_the_process(
    tmp_path: Path, settings: str, count: int
) -> None:
    found = findings(tmp_path, CACHED, settings=settings)
    assert [each.rule for each in found if each.rule == "OFF103"] == ["OFF103"] * count


@pytest.mark.parametrize(
    ("given", "count"),
    [("request=request", 0), ("request", 0), ("request, password='a'", 1), ("**request.POST", 1)],
)
def test_without_a_password_nothing_is_hashed(tmp_path: Path, given: str, count: int) -> None:
    code = "from django.contrib import auth\n\nasync def view(request):\n"
    found = findings(tmp_path, code + f"    await auth.aauthenticate({given})\n")
    assert [each.rule for each in found if each.rule == "OFF201"] == ["OFF201"] * count


@pytest.mark.parametrize(("kind", "severity"), [("async def", "error"), ("def", "warning")])
def test_a_thread_of_a_sync_view_may_have_little_to_compute(
    tmp_path: Path, kind: str, severity: str
) -> None:
    code = (
        "import whisper\nfrom concurrent.futures import ThreadPoolExecutor\n\n"
        "pool = ThreadPoolExecutor(2)\n\n"
        "def count(path):\n    return whisper.transcribe(path)\n\n"
        f"{kind} view(request):\n    pool.submit(count, 'a')\n"
    )
    found = [each.severity for each in findings(tmp_path, code) if each.rule == "OFF203"]
    assert found == [severity]


@pytest.mark.parametrize(
    ("driver", "fetches"),
    [("psycopg2", False), ("pymysql", False), ("MySQLdb", False), ("oracledb", True)],
)
def test_a_cursor_that_has_read_its_rows_waits_for_none(
    tmp_path: Path, driver: str, fetches: bool
) -> None:
    code = (
        f"import {driver}\n\nasync def view(request):\n"
        f"    cursor = {driver}.connect('a').cursor()\n    cursor.execute('select 1')\n"
        "    return cursor.fetchall()\n"
    )
    found = [each.subject for each in findings(tmp_path, code) if each.rule == "OFF103"]
    assert ("cursor.fetchall()" in found) is fetches
    assert "cursor.execute()" in found


TABLES = "import pandas\n\ndef load():\n    return pandas.read_csv('a')\n\n"


@pytest.mark.parametrize(
    ("view", "rule"),
    [
        ("async def view(request):\n    return load()\n", "OFF201"),
        ("async def view(request):\n    return await asyncio.to_thread(load)\n", "OFF203"),
        (
            "async def view(request):\n    return await asyncio.to_thread(pandas.read_csv, 'a')\n",
            "OFF203",
        ),
        ("def view(request):\n    return load()\n", "OFF203"),
    ],
)
def test_how_long_a_table_takes_hangs_on_its_size(tmp_path: Path, view: str, rule: str) -> None:
    found = findings(tmp_path, TABLES + view)
    assert [(each.rule, each.severity) for each in found] == [(rule, "warning")]
    assert "small table" in found[0].likely


@pytest.mark.parametrize("given", ["host='a'", "host='a', timeout=8"])
def test_the_timeout_of_connect_is_for_the_whole_client(tmp_path: Path, given: str) -> None:
    code = (
        "from ftplib import FTP\n\ndef send(file):\n    ftp = FTP()\n"
        f"    ftp.connect({given})\n    ftp.storbinary('STOR a', file)\n"
    )
    found = [each.rule for each in findings(tmp_path, code)]
    assert ("OFF405" in found) is ("timeout" not in given)


@pytest.mark.parametrize(("seconds", "count"), [("20", 0), ("None", 1)])
def test_a_default_timeout_of_sockets_is_for_those_of_libraries(
    tmp_path: Path, seconds: str, count: int
) -> None:
    code = (
        f"import imaplib\nimport socket\n\nsocket.setdefaulttimeout({seconds})\n\n"
        "def read():\n    return imaplib.IMAP4('mail.test')\n"
    )
    assert [each.rule for each in findings(tmp_path, code)].count("OFF405") == count


POOL = """
from concurrent.futures import ThreadPoolExecutor

import numpy
from celery import shared_task

HEAD:
    with ThreadPoolExecutor() as pool:
        return pool.submit(numpy.linalg.inv, given).result()
"""


@pytest.mark.parametrize(
    ("head", "count"),
    [("def view(request, given)", 1), ("@shared_task(time_limit=9)\ndef work(given)", 0)],
)
def test_the_threads_of_a_task_are_none_of_the_web_process(
    tmp_path: Path, head: str, count: int
) -> None:
    found = [rule for rule, _ in numbers(tmp_path, POOL.replace("HEAD", head))]
    assert found.count("OFF203") == count


def test_a_frame_may_be_small(tmp_path: Path) -> None:
    code = "import cv2\n\n\nasync def view(request):\n    return cv2.resize(request.body, (9, 9))\n"
    assert numbers(tmp_path, code) == {("OFF201", "warning")}
