"""Objects that several event loops or threads use, and settings that do not do what they say."""

from pathlib import Path

import pytest
from twins import Twins, check, numbers

MANAGER = """class Manager:
    def __init__(self):
        self.waiting = asyncio.Queue()

    async def run(self):
        await self.waiting.get()

"""
CELERY = """
from celery import Celery

app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
"""
CASES = {
    "manager_of_an_ended_loop": Twins(
        "OFF506",
        "warning",
        MANAGER + "def main():\n    manager = Manager()\n    while True:\n"
        "        asyncio.run(manager.run())\n",
        MANAGER + "def main():\n    while True:\n        manager = Manager()\n"
        "        asyncio.run(manager.run())\n",
    ),
    "client_of_the_process_in_a_loop_of_one_call": Twins(
        "OFF506",
        "warning",
        "from openai import AsyncOpenAI\n\nclient = AsyncOpenAI(timeout=30)\n\nasync def ask():\n"
        "    return await client.responses.create(input='')\n\n"
        "def report():\n    return asyncio.run(ask())\n",
        "from openai import AsyncOpenAI\n\nclient = AsyncOpenAI(timeout=30)\n\nasync def ask():\n"
        "    return await client.responses.create(input='')\n\n"
        "async def report(request):\n    return await ask()\n",
    ),
    "pools_of_a_channel_layer": Twins(
        "OFF506",
        "warning",
        """
from channels.layers import BaseChannelLayer
from redis.asyncio import Redis

class Layer(BaseChannelLayer):
    def connection(self):
        self.client = Redis(host="a", socket_timeout=5)
        return self.client
""",
        """
from channels.layers import BaseChannelLayer
from redis.asyncio import Redis

class Layer(BaseChannelLayer):
    def connection(self):
        loop = asyncio.get_running_loop()
        self.clients[loop] = Redis(host="a", socket_timeout=5)
        return self.clients[loop]
""",
    ),
    "state_of_a_thread": Twins(
        "OFF506",
        "warning",
        "import threading\n\nclass State(threading.local):\n    def set(self, value):\n"
        "        self.value = value\n",
        "from asgiref.local import Local\n\nclass State(Local):\n    def set(self, value):\n"
        "        self.value = value\n",
    ),
    "request_by_the_thread": Twins(
        "OFF506",
        "warning",
        "import threading\n\nCURRENT = {}\n\ndef keep(request):\n"
        "    CURRENT[threading.get_ident()] = request\n",
        "import threading\n\nCURRENT = {}\n\ndef keep(request):\n    CURRENT['last'] = request\n",
    ),
    "async_unsafe": Twins(
        "OFF701",
        "error",
        "import os\n\nos.environ.setdefault('DJANGO_ALLOW_ASYNC_UNSAFE', 'true')\n",
        "import os\n\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n",
    ),
    "variable_beside_the_app": Twins(
        "OFF701",
        "error",
        CELERY + "task_acks_late = True\n",
        CELERY + "app.conf.task_acks_late = True\n",
    ),
}
REDIS = "CELERY_BROKER_URL = 'redis://localhost'\nCELERY_TASK_ACKS_LATE = True\n"


@pytest.mark.parametrize("name", CASES)
def test_what_belongs_to_one_loop_is_not_shared(tmp_path: Path, name: str) -> None:
    check(CASES[name], tmp_path)


@pytest.mark.parametrize(
    ("settings", "decorator", "is_wrong"),
    [
        (REDIS, "@shared_task(time_limit=2 * 3600)", True),
        (REDIS, "@shared_task(time_limit=600)", False),
        (REDIS, "@shared_task(time_limit=7200, acks_late=False)", False),
        (REDIS.replace("redis:", "amqp:"), "@shared_task(time_limit=7200)", False),
        (
            REDIS + "CELERY_BROKER_TRANSPORT_OPTIONS = {'visibility_timeout': 9000}\n",
            "@shared_task(time_limit=7200)",
            False,
        ),
        ("CELERY_TASK_TIME_LIMIT = 60\n", "@shared_task(soft_time_limit=90)", True),
        ("CELERY_TASK_TIME_LIMIT = 60\n", "@shared_task(soft_time_limit=50)", False),
        ("CELERY_POOL_LIMIT = 3\n", "@shared_task", True),
        ("CELERY_BROKER_POOL_LIMIT = 3\n", "@shared_task", False),
        ("CELERY_COMPRESSION = 'gzip'\n", "@shared_task", True),
        # The second one has set it already, by its older name.
        (
            "CELERY_COMPRESSION = 'gzip'\nCELERY_MESSAGE_COMPRESSION = 'gzip'\n",
            "@shared_task",
            False,
        ),
        # Celery still takes this name of its third version.
        ("CELERY_IGNORE_RESULT = True\n", "@shared_task", False),
    ],
)
def test_a_setting_that_has_no_effect_is_found(
    tmp_path: Path, settings: str, decorator: str, *, is_wrong: bool
) -> None:
    task = f"from celery import shared_task\n\n{decorator}\ndef report():\n    pass\n"
    found = numbers(tmp_path, "", settings=settings, tasks=task, celery=CELERY)
    assert (("OFF701", "error") in found) is is_wrong


def test_kept_connections_matter_under_an_async_server_alone(tmp_path: Path) -> None:
    database = "DATABASES = {'default': {'ENGINE': 'postgresql', 'CONN_MAX_AGE': 60}}\n"
    under_asgi = f"{database}ASGI_APPLICATION = 'shop.asgi.application'\n"
    assert ("OFF701", "warning") in numbers(tmp_path / "asgi", "", settings=under_asgi)
    assert ("OFF701", "warning") not in numbers(tmp_path / "wsgi", "", settings=database)


@pytest.mark.parametrize(("alias", "is_wrong"), [("replica", True), ("reports", False)])
def test_a_database_that_nobody_names_keeps_no_connection(
    tmp_path: Path, alias: str, *, is_wrong: bool
) -> None:
    settings = (
        "ASGI_APPLICATION = 'shop.asgi.application'\nDATABASES = {'default': {}}\n"
        f"DATABASES['{alias}'] = {{'CONN_MAX_AGE': 60}}\n"
    )
    code = "def view(request):\n    return Order.objects.using('replica').count()\n"
    found = numbers(tmp_path, code, settings=settings)
    assert (("OFF701", "warning") in found) is is_wrong


@pytest.mark.parametrize(
    ("age", "is_wrong"),
    [
        ("int(os.environ.get('AGE', 60))", True),
        ("int(os.environ['AGE'])", True),
        ("int(os.environ.get('AGE', '0'))", False),
        ("env.int('AGE', default=0)", False),
        ("config('AGE', default=0, cast=int)", False),
    ],
)
def test_a_setting_whose_default_is_right_is_right(
    tmp_path: Path, age: str, *, is_wrong: bool
) -> None:
    database = f"import os\n\nDATABASES = {{'default': {{'CONN_MAX_AGE': {age}}}}}\n"
    settings = f"{database}ASGI_APPLICATION = 'shop.asgi.application'\n"
    assert (("OFF701", "warning") in numbers(tmp_path, "", settings=settings)) is is_wrong


@pytest.mark.parametrize(
    ("start", "is_wrong"),
    [
        ("web: daphne shop.asgi:application\n", True),
        ("web: gunicorn shop.wsgi\n", False),
        ("web: gunicorn shop.wsgi\nchat: daphne shop.asgi:application\n", False),
    ],
)
def test_the_procfile_says_which_server_runs(tmp_path: Path, start: str, *, is_wrong: bool) -> None:
    (tmp_path / "Procfile").write_text(start)
    settings = "ASGI_APPLICATION = 'shop.asgi'\nDATABASES = {'default': {'CONN_MAX_AGE': 60}}\n"
    assert (("OFF701", "warning") in numbers(tmp_path, "", settings=settings)) is is_wrong


@pytest.mark.parametrize(
    ("start", "is_wrong"),
    [
        ("web: daphne shop.asgi:application\n", True),
        ("web: gunicorn shop.asgi -k uvicorn.workers.UvicornWorker\n", True),
        ("web: gunicorn shop.wsgi\nchat: daphne shop.asgi:application\n", False),
        ("web: gunicorn \\\n  shop.wsgi\nchat: daphne shop.asgi:application\n", False),
        ("# gunicorn shop.wsgi\nweb: daphne shop.asgi:application\n", True),
    ],
)
def test_a_second_server_for_websockets_runs_no_sync_view(
    tmp_path: Path, start: str, *, is_wrong: bool
) -> None:
    (tmp_path / "Procfile").write_text(start)
    code = (
        "from django.http import StreamingHttpResponse\nfrom weasyprint import HTML\n\n"
        "def view(request, rows=()):\n"
        "    papers = [HTML(string=row).write_pdf() for row in rows]\n"
        "    return StreamingHttpResponse(each for each in papers)\n"
    )
    settings = "ASGI_APPLICATION = 'shop.asgi'\n"
    found = {rule for rule, _ in numbers(tmp_path, code, settings=settings)}
    assert ({"OFF108", "OFF203"} <= found) is is_wrong


@pytest.mark.parametrize(("decorator", "is_wrong"), [("", True), ("@api_view(['GET'])\n", False)])
def test_a_view_of_rest_framework_is_none_that_django_refuses(
    tmp_path: Path, decorator: str, *, is_wrong: bool
) -> None:
    code = (
        f"from rest_framework.decorators import api_view\n\n{decorator}"
        "async def view(request):\n    return None\n"
    )
    urls = (
        "from django.urls import path\n\nfrom shop.views import view\n\n"
        "urlpatterns = [path('', view)]\n"
    )
    settings = "DATABASES = {'default': {'ENGINE': 'x', 'ATOMIC_REQUESTS': True}}\n"
    found = numbers(tmp_path, code, urls=urls, settings=settings)
    assert (("OFF701", "error") in found) is is_wrong


@pytest.mark.parametrize(("rows", "is_wrong"), [("", True), (", nrows=10", False)])
def test_the_first_rows_of_a_table_are_short(tmp_path: Path, rows: str, *, is_wrong: bool) -> None:
    code = f"import pandas as pd\n\nasync def view(request):\n    pd.read_csv('a'{rows})\n"
    assert (("OFF201", "warning") in numbers(tmp_path, code)) is is_wrong


@pytest.mark.parametrize(
    ("call", "django", "severity"),
    [
        ("aauthenticate(request, username='a', password='b')", "5.2", "error"),
        ("aauthenticate(request, username='a', password='b')", "6.0", "warning"),
        ("request.user.acheck_password('b')", "5.2", "error"),
        ("request.user.acheck_password('b')", "6.0", ""),
    ],
)
def test_django_hashes_in_a_thread_since_6(
    tmp_path: Path, call: str, django: str, severity: str
) -> None:
    (tmp_path / "requirements.txt").write_text(f"django=={django}.1\n")
    code = (
        "from django.contrib.auth import aauthenticate\n\n"
        f"async def view(request):\n    return await {call}\n"
    )
    found = {s for rule, s in numbers(tmp_path, code) if rule == "OFF201"}
    assert found == ({severity} if severity else set())


@pytest.mark.parametrize(
    ("package", "settings", "severity"),
    [
        ("gunicorn", "WSGI_APPLICATION = 'shop.wsgi.application'\n", "warning"),
        ("uvicorn[standard]", "WSGI_APPLICATION = 'shop.wsgi.application'\n", "error"),
        ("channels", "WSGI_APPLICATION = 'shop.wsgi.application'\n", "warning"),
        ("gunicorn", "WSGI_APPLICATION = 'a'\nASGI_APPLICATION = 'b'\n", "error"),
        ("gunicorn", "", "error"),
    ],
)
def test_without_an_async_server_a_view_delays_only_its_own_request(
    tmp_path: Path, package: str, settings: str, severity: str
) -> None:
    (tmp_path / "requirements.txt").write_text(f"django==5.2\n{package}\n")
    code = "async def view(request):\n    time.sleep(1)\n    Order.objects.count()\n"
    found = numbers(tmp_path, code, settings=settings)
    # Django refuses a query in each loop.
    assert found == {("OFF103", severity), ("OFF101", "error")}
