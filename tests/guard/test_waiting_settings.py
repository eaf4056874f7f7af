"""Settings that say only together how long something waits: mail, caches, limits of tasks."""

from pathlib import Path

import pytest
from example_shop import findings
from twins import numbers

MAIL = (
    "from django.core.mail import send_mail\n\ndef tell():\n    send_mail('a', 'b', None, ['c'])\n"
)
REDIS = "redis://cache:6379/1"
APP = """
from celery import Celery

app = Celery("shop", broker="{broker}")
app.config_from_object("django.conf:settings", namespace="CELERY")
SENT = ["limited", "load", "again", "run"]
"""
TASKS = """
from celery import shared_task

@shared_task(time_limit=60)
def limited():
    return 1

@shared_task
def load():
    return requests.get("https://bank.example", timeout=5)
"""
LOST = [
    "CELERY_BROKER_VISIBILITY_TIMEOUT = 43200\n",
    "CELERY_VISIBILITY_TIMEOUT = 43200\n",
    "BROKER_VISIBILITY_TIMEOUT = 43200\n",
]


def cache(backend: str, location: str, options: str = "{}") -> str:
    return (
        'INSTALLED_APPS = []\nCACHES = {"default": {"BACKEND": '
        f'"{backend}", "LOCATION": {location!r}, "OPTIONS": {options}}}}}\n'
    )


USES_CACHE = "from django.core.cache import cache\n\ncache.clear()\n"


def said_of(folder: Path, code: str, settings: str, **others: str) -> set[str]:
    found = numbers(folder, code, settings=settings, **others)
    return {severity for rule, severity in found if rule == "OFF701"}


@pytest.mark.parametrize("settings", LOST)
def test_a_name_that_nobody_reads_is_an_error(tmp_path: Path, settings: str) -> None:
    assert said_of(tmp_path, "", settings, celery=APP.format(broker="amqp://x")) == {"error"}


@pytest.mark.parametrize(
    "settings",
    [
        "VISIBILITY_TIMEOUT = 43200\n",
        "CELERY_VISIBILITY_TIMEOUT = 9\n"
        'CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": CELERY_VISIBILITY_TIMEOUT}\n',
        "QUEUE_VISIBILITY_TIMEOUT = 43200\n",
    ],
)
def test_names_that_somebody_reads_are_right(tmp_path: Path, settings: str) -> None:
    assert said_of(tmp_path, "", settings, celery=APP.format(broker="amqp://x")) == set()


@pytest.mark.parametrize(
    "settings",
    [
        'EMAIL_HOST = "smtp.example"\n',
        'import os\nEMAIL_HOST = os.environ["MAIL_HOST"]\nEMAIL_PORT = 587\n',
        'EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"\nEMAIL_HOST = "mail"\n',
    ],
)
def test_mail_to_another_host_needs_a_timeout(tmp_path: Path, settings: str) -> None:
    assert said_of(tmp_path / "wrong", MAIL, settings) == {"warning"}
    assert said_of(tmp_path / "right", MAIL, settings + "EMAIL_TIMEOUT = 10\n") == set()
    assert said_of(tmp_path / "sends_nothing", "", settings) == set()


@pytest.mark.parametrize(
    "settings",
    [
        'EMAIL_HOST = "localhost"\n',
        'EMAIL_HOST = ""\n',
        'EMAIL_BACKEND = "anymail.backends.mailgun.EmailBackend"\nEMAIL_HOST = "smtp.example"\n',
    ],
)
def test_mail_that_another_host_does_not_take_is_right(tmp_path: Path, settings: str) -> None:
    assert said_of(tmp_path, MAIL, settings) == set()


@pytest.mark.parametrize(
    ("backend", "limit"),
    [
        ("django_redis.cache.RedisCache", "SOCKET_TIMEOUT"),
        ("django.core.cache.backends.redis.RedisCache", "socket_timeout"),
        ("django.core.cache.backends.memcached.PyMemcacheCache", "timeout"),
    ],
)
def test_a_cache_on_another_host_needs_a_timeout(tmp_path: Path, backend: str, limit: str) -> None:
    for number, options in enumerate(("{}", '{"CLIENT_CLASS": "x"}')):
        assert said_of(tmp_path / f"{number}", USES_CACHE, cache(backend, REDIS, options)) == {
            "warning"
        }
    unused = USES_CACHE.replace("cache.clear", "# cache.clear")
    assert said_of(tmp_path / "unused", unused, cache(backend, REDIS)) == set()
    limited = cache(backend, REDIS, f'{{"{limit}": 1}}')
    assert said_of(tmp_path / "limited", USES_CACHE, limited) == set()


@pytest.mark.parametrize(
    "settings",
    [
        cache("django_redis.cache.RedisCache", "redis://127.0.0.1:6379/1"),
        cache("django_redis.cache.RedisCache", f"{REDIS}?socket_timeout=1"),
        cache("django_redis.cache.RedisCache", REDIS, "{**SHARED}"),
        cache("django.core.cache.backends.locmem.LocMemCache", "x"),
    ],
)
def test_a_cache_that_ends_its_waits_is_right(tmp_path: Path, settings: str) -> None:
    assert said_of(tmp_path, USES_CACHE, settings) == set()


@pytest.mark.parametrize(
    "task",
    [
        "",
        "@shared_task\ndef run():\n    import subprocess\n    subprocess.run(['ls'])\n",
        "@shared_task(bind=True)\ndef again(self):\n    time.sleep(9)\n",
    ],
)
def test_a_limit_of_one_task_does_not_limit_the_others(tmp_path: Path, task: str) -> None:
    app = APP.format(broker="amqp://x")
    assert said_of(tmp_path / "wrong", TASKS + task, "", celery=app) == {"warning"}
    limit = "CELERY_TASK_TIME_LIMIT = 600\n"
    assert said_of(tmp_path / "right", TASKS + task, limit, celery=app) == set()


@pytest.mark.parametrize(
    "tasks",
    [
        TASKS.replace("@shared_task\n", "@shared_task(soft_time_limit=60)\n"),
        TASKS.replace('requests.get("https://bank.example", timeout=5)', "1"),
        TASKS + "\napp.conf.update(task_time_limit=600)\n",
    ],
)
def test_tasks_that_end_need_no_limit(tmp_path: Path, tasks: str) -> None:
    assert said_of(tmp_path, tasks, "", celery=APP.format(broker="amqp://x")) == set()


@pytest.mark.parametrize(
    ("sends", "found"),
    [
        ("", set()),
        ("load.delay()", {"warning"}),
        ("tasks = ['shop.views.load']", {"warning"}),
        ("INSTALLED_APPS = ['django_celery_beat']", {"warning"}),
    ],
)
def test_a_task_that_nobody_sends_needs_no_limit(
    tmp_path: Path, sends: str, found: set[str]
) -> None:
    app = APP.format(broker="amqp://x").partition("SENT")[0]
    assert said_of(tmp_path / "service", TASKS, "", celery=app, sends=sends, wsgi="") == found
    assert said_of(tmp_path / "library", TASKS, "", celery=app, sends=sends) == {"warning"}


@pytest.mark.parametrize(
    ("line", "may_hang"),
    [
        ("time.sleep(9)", False),
        ("httpx.get(URL)", True),
        ("logging.info('done')", False),
        ("Row.objects.filter(old=True).delete()", True),
        ("load_page()", True),
        ("subprocess.run(['ffmpeg', '-i', 'a', 'b'])", True),
        ("while True:\n        poll()", True),
        ("send_mail('a', 'b', None, ['c'])", True),
    ],
)
def test_an_app_without_limits_is_found_if_a_task_may_never_end(
    tmp_path: Path, line: str, may_hang: bool
) -> None:
    task = (
        "import logging\nimport subprocess\nimport time\n\nimport httpx\nimport requests\n"
        "from celery import shared_task\nfrom django.core.mail import send_mail\n\n"
        'URL = "https://bank.example"\n\n\n'
        "def load_page():\n    return requests.get(URL).text\n\n\n"
        f"@shared_task\ndef run():\n    {line}\n"
    )
    found = said_of(tmp_path, task, "", celery=APP.format(broker="amqp://x"))
    assert found == ({"warning"} if may_hang else set())


@pytest.mark.parametrize(
    ("use", "is_sent"),
    [
        ('"""Nobody sends `fetch_pages` any more."""\n', False),
        ("from shop.tasks import fetch_pages\n", True),
        ("SCHEDULE = {'task': 'shop.tasks.fetch_pages'}\n", True),
    ],
)
def test_a_sentence_about_a_task_sends_none(tmp_path: Path, use: str, *, is_sent: bool) -> None:
    task = (
        "import requests\nfrom celery import shared_task\n\n\n"
        "@shared_task\ndef fetch_pages():\n    requests.get('https://x.test', timeout=5)\n"
    )
    files = {"celery": APP.format(broker="amqp://x"), "tasks": task, "uses": use, "urls": ""}
    found = numbers(tmp_path, "", **files)
    assert (("OFF701", "warning") in found) is is_sent


@pytest.mark.parametrize(
    ("name", "text", "is_older"),
    [
        ("requirements.txt", "django\nredis==5.0.1\n", True),
        ("requirements.txt", "redis[hiredis]<8\n", True),
        ("requirements.txt", "redis~=8.1\n", False),
        ("requirements.txt", "redis\n", False),
        ("requirements.txt", "django-redis==5.4\n", False),
        ("pyproject.toml", '[tool.poetry.dependencies]\nredis = "^4.5"\n', True),
        ("pyproject.toml", 'dependencies = ["redis<=6.2"]\n', True),
        ("pyproject.toml", 'dependencies = ["redis>=7.0.0,<8"]\n', True),
        ("pyproject.toml", 'dependencies = ["redis>=5"]\n', False),
        ("uv.lock", '[[package]]\nname = "redis"\nversion = "6.4.0"\n', True),
        ("uv.lock", '[[package]]\nname = "redis"\nversion = "8.0.0"\n', False),
        ("Pipfile.lock", '{"redis": {"hashes": [], "version": "==4.6.0"}}\n', True),
    ],
)
def test_newer_clients_of_redis_have_a_timeout(
    tmp_path: Path, name: str, text: str, is_older: bool
) -> None:
    (tmp_path / name).write_text(text)
    settings = cache("django_redis.cache.RedisCache", REDIS)
    assert said_of(tmp_path, USES_CACHE, settings) == ({"warning"} if is_older else set())


def test_one_server_is_said_once(tmp_path: Path) -> None:
    settings = 'INSTALLED_APPS = []\nDATABASES = {}\nEMAIL_HOST = "smtp.example"\n'
    found = findings(tmp_path, MAIL, settings=settings, settings_production=settings)
    assert [each.rule for each in found].count("OFF701") == 1
