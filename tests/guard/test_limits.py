"""Waits without a limit, loops that wait for each service, threads and computing in sync views."""

from pathlib import Path

import pytest
from example_shop import findings
from twins import Twins, check

from offload_dev.lint.grade import grade
from offload_dev.lint.source.project import Project

IMAGE = """
from PIL import Image

class Photo:
    def thumbnail(self):
        with Image.open("photo.jpg") as image:
            image.thumbnail((300, 300))
"""
LOAD = """
import aiohttp

async def load(session: aiohttp.ClientSession, url):
    async with session.get(url) as answer:
        return await answer.json()
"""
ROWS = """
import csv

import django_filters

class OrderFilter(django_filters.FilterSet):
    class Meta:
        model = Order

def view(request):
    writer = csv.writer(request)
    base = QUERY
    found = OrderFilter(request.GET, queryset=base)
    rows = found.qs
    for order in rows:
        writer.writerow([order.pk])
"""
SESSION = """
class Client(requests.Session):
    def request(self, method, url, **options):
        return super().request(method, url, **{**dict(OPTIONS), **options})

class Orders:
    def __init__(self):
        self.client = Client()

    def load(self):
        return self.client.get("https://x.test")
"""
CASES = {
    "requests": Twins(
        "OFF405",
        "warning",
        "def post(url):\n    return requests.post(url, json={})\n",
        "def post(url):\n    return requests.post(url, json={}, timeout=5)\n",
    ),
    "session": Twins(
        "OFF405",
        "warning",
        "def post(url):\n    session = requests.Session()\n    return session.post(url, json={})\n",
        "import functools\n\ndef post(url):\n    session = requests.Session()\n"
        "    session.request = functools.partial(\n        session.request, timeout=5\n    )\n"
        "    return session.post(url, json={})\n",
    ),
    "session_with_an_adapter": Twins(
        "OFF405",
        "warning",
        "def post(url):\n    session = requests.Session()\n    session.mount('https://', Retry())\n"
        "    return session.post(url, json={})\n",
        "def post(url):\n    session = requests.Session()\n"
        "    session.mount('https://', TimeoutAdapter(5))\n    return session.post(url, json={})\n",
    ),
    "session_in_a_wrapper": Twins(
        "OFF405",
        "warning",
        "def post(url, **kwargs):\n    kwargs.setdefault('json', {})\n"
        "    session = requests.Session()\n    return session.post(url)\n",
        "class Session:\n    def post(self, url, **kwargs):\n"
        "        kwargs.setdefault('timeout', 5)\n"
        "        return self.inner.post(url, **kwargs)\n\n"
        "def post(url):\n    session = requests.Session()\n    return session.post(url)\n",
    ),
    "session_of_the_project": Twins(
        "OFF405",
        "warning",
        SESSION.replace("OPTIONS", "verify=True"),
        SESSION.replace("OPTIONS", "timeout=5"),
    ),
    "options_may_have_a_timeout": Twins(
        "OFF405",
        "warning",
        "def post(url, data):\n    return requests.post(url, data=data)\n",
        "def post(url, **options):\n    return requests.post(url, **options)\n",
    ),
    "by_its_place": Twins(
        "OFF405",
        "warning",
        "from urllib.request import urlopen\n\ndef load(url):\n    return urlopen(url)\n",
        "from urllib.request import urlopen\n\ndef load(url):\n    return urlopen(url, None, 5)\n",
    ),
    "ten_minutes": Twins(
        "OFF405",
        "warning",
        "from openai import AsyncOpenAI\n\ndef client(request):\n"
        "    return AsyncOpenAI(api_key='k')\n",
        "from openai import AsyncOpenAI\n\ndef client(request):\n"
        "    return AsyncOpenAI(api_key='k', timeout=30)\n",
    ),
    "coroutine_without_a_deadline": Twins(
        "OFF405",
        "warning",
        "from langchain_mcp_adapters.client import MultiServerMCPClient\n\n"
        "async def tools(servers):\n    return await MultiServerMCPClient(servers).get_tools()\n",
        "from langchain_mcp_adapters.client import MultiServerMCPClient\n\n"
        "async def tools(servers):\n    async with asyncio.timeout(30):\n"
        "        return await MultiServerMCPClient(servers).get_tools()\n",
    ),
    "lock_that_never_expires": Twins(
        "OFF405",
        "warning",
        "import redis\n\ndef lock():\n    return redis.Redis().lock('report')\n",
        "import redis\n\ndef lock():\n    return redis.Redis().lock('report', timeout=60)\n",
    ),
    "result_of_a_task": Twins(
        "OFF405",
        "warning",
        "from celery import shared_task\n\n@shared_task\ndef report():\n    pass\n\n"
        "def view(request):\n    return report.delay().get()\n",
        "from celery import shared_task\n\n@shared_task\ndef report():\n    pass\n\n"
        "def view(request):\n    return report.delay().get(timeout=5)\n",
    ),
    "one_service_after_the_other": Twins(
        "OFF406",
        "warning",
        LOAD + "async def all_of(session: aiohttp.ClientSession, urls):\n    found = []\n"
        "    for url in urls:\n        found.append(await load(session, url))\n    return found\n",
        LOAD + "async def all_of(session: aiohttp.ClientSession, urls):\n    found = []\n"
        "    for url in urls:\n        found.append(await load(session, url))\n"
        "        if found[-1]:\n            break\n    return found\n",
    ),
    "one_query_after_the_other": Twins(
        "OFF406",
        "warning",
        LOAD + "async def all_of(session: aiohttp.ClientSession, urls):\n"
        "    return {url: await load(session, url) for url in urls}\n",
        "async def load(pk):\n    return await Order.objects.aget(pk=pk)\n\n"
        "async def all_of(pks):\n    return {pk: await load(pk) for pk in pks}\n",
    ),
    "sync_view_that_computes": Twins(
        "OFF203",
        "warning",
        IMAGE + "def view(request):\n    return [Photo().thumbnail() for _ in request.FILES]\n",
        IMAGE + "def make():\n    return [Photo().thumbnail() for _ in range(9)]\n",
    ),
    "few_sizes_of_one_picture": Twins(
        "OFF203",
        "warning",
        "from PIL import Image\n\nSIZES = {'small': 9, 'large': 99}\n\n"
        "def view(request):\n    for size in SIZES.values():\n"
        "        for name in request.FILES:\n            Image.open(name).resize(size)\n",
        "from PIL import Image\n\nSIZES = {'small': 9, 'large': 99}\n\n"
        "def view(request):\n    image = Image.open('a')\n    for size in SIZES.values():\n"
        "        image.copy().resize(size)\n",
    ),
    "one_frame": Twins(
        "OFF203",
        "warning",
        "import cv2\n\ndef view(request):\n"
        "    return [cv2.resize(frame, (9, 9)) for frame in request.FILES]\n",
        "import cv2\n\ndef view(request):\n    return cv2.resize(request.FILES[0], (9, 9))\n",
    ),
    "rows_of_a_filter_set": Twins(
        "OFF203",
        "warning",
        ROWS.replace("QUERY", "Order.objects.all()"),
        ROWS.replace("QUERY", "Order.objects.filter(customer=1)"),
    ),
    "sync_view_with_one_picture": Twins(
        "OFF203",
        "warning",
        IMAGE + "def view(request):\n    for _ in request.FILES:\n        Photo().thumbnail()\n",
        IMAGE + "def view(request):\n    return Photo().thumbnail()\n",
    ),
    "export_of_all_rows": Twins(
        "OFF203",
        "warning",
        "import csv\n\ndef view(request):\n    writer = csv.writer(request)\n"
        "    for order in Order.objects.all():\n        writer.writerow([order.pk])\n",
        "import csv\n\ndef view(request):\n    writer = csv.writer(request)\n"
        "    for name in ('pk', 'price'):\n        writer.writerow([name])\n",
    ),
    "export_of_the_rows_of_one_user": Twins(
        "OFF203",
        "warning",
        "import csv\n\ndef view(request):\n    writer = csv.writer(request)\n"
        "    for order in Order.objects.all():\n        writer.writerow([order.pk])\n",
        "import csv\n\ndef view(request):\n    writer = csv.writer(request)\n"
        "    for order in Order.objects.filter(pk=1):\n        writer.writerow([order.pk])\n",
    ),
    "thread_class_that_computes": Twins(
        "OFF203",
        "warning",
        IMAGE + "import threading\n\nclass Worker(threading.Thread):\n    def run(self):\n"
        "        Photo().thumbnail()\n",
        IMAGE + "import threading\n\nclass Worker(threading.Thread):\n    def run(self):\n"
        "        time.sleep(1)\n",
    ),
    "thread_of_a_sync_view": Twins(
        "OFF505",
        "warning",
        "import threading\n\ndef view(request):\n    threading.Thread(target=print).start()\n",
        "import threading\n\ndef main():\n    threading.Thread(target=print).start()\n",
    ),
    "client_with_a_thread": Twins(
        "OFF505",
        "warning",
        "from posthog import Posthog\n\nclass Tracker:\n    def __init__(self):\n"
        "        self.client = Posthog('key')\n\ndef view(request):\n    return Tracker()\n",
        "from posthog import Posthog\n\nclass Tracker:\n    def __init__(self):\n"
        "        self.client = Posthog('key', sync_mode=True)\n\n"
        "def view(request):\n    return Tracker()\n",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_has_no_limit_is_found_and_its_twin_is_not(tmp_path: Path, name: str) -> None:
    check(CASES[name], tmp_path)


@pytest.mark.parametrize(
    ("place", "last", "is_wrong"),
    [
        ("check.py", "print('done')\n", False),
        ("check.py", "DONE = 'done'\n", True),
        ("shop/check.py", "print('done')\n", True),
    ],
)
def test_who_starts_a_script_by_hand_ends_it(
    tmp_path: Path, place: str, last: str, *, is_wrong: bool
) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    code = f"import requests\n\ndef load(url):\n    return requests.get(url)\n\n{last}"
    (tmp_path / place).write_text(code)
    found = [each.rule for each in grade(Project(tmp_path))]
    assert ("OFF405" in found) is is_wrong


STAFF_VIEWS = """
import threading
from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.decorators import login_required, user_passes_test
from rest_framework.permissions import IsAdminUser, IsAuthenticated
from rest_framework.views import APIView

DECORATOR
def view(request):
    threading.Thread(target=print).start()

class Report(APIView):
    permission_classes = [PERMISSION]

    def post(self, request):
        threading.Thread(target=print).start()
"""


@pytest.mark.parametrize(
    ("decorator", "permission", "count"),
    [
        ("@login_required", "IsAuthenticated", 2),
        ("@staff_member_required", "IsAdminUser", 0),
        ("@accounts_manager_required", "IsManager", 0),
        ("@manager.register", "IsOwner", 2),
        ("@user_passes_test(lambda user: user.is_superuser)", "IsAuthenticated", 1),
    ],
)
def test_few_requests_come_to_a_view_for_staff(
    tmp_path: Path, decorator: str, permission: str, count: int
) -> None:
    code = STAFF_VIEWS.replace("DECORATOR", decorator).replace("PERMISSION", permission)
    found = [each.rule for each in findings(tmp_path, code)]
    assert found.count("OFF505") == count


def test_a_row_of_a_sheet_is_short_and_all_of_them_may_not_be(tmp_path: Path) -> None:
    code = (
        "import openpyxl\n\ndef view(request):\n    sheet = openpyxl.Workbook().active\n"
        "    sheet.append(['name'])\n"
    )
    assert "OFF203" not in {each.rule for each in findings(tmp_path / "row", code)}
    code += "    for order in Order.objects.all():\n        sheet.append([order.pk])\n"
    assert "OFF203" in {each.rule for each in findings(tmp_path / "rows", code)}
