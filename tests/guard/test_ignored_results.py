"""Reads of results of Celery that nobody stores."""

from pathlib import Path

import pytest
from twins import Twins, check, numbers

HEAD = """
from celery import shared_task
from celery.result import AsyncResult

"""
IGNORING = f"{HEAD}@shared_task(ignore_result=True)\ndef load(pk):\n    return pk\n\n"
STORING = f"{HEAD}@shared_task\ndef load(pk):\n    return pk\n\n"
READS = {
    "state_of_its_message": "def start():\n    sent = load.delay(1)\n    return sent.state\n",
    "at_once": "def start():\n    return load.apply_async((1,)).ready()\n",
    "by_its_key": "def show(key):\n    return load.AsyncResult(key).status\n",
    "waits": "def start():\n    sent = load.delay(1)\n    return sent.get(timeout=5)\n",
}
CASES = {
    name: Twins("OFF701", "error", IGNORING + code, STORING + code) for name, code in READS.items()
} | {
    "by_the_call": Twins(
        "OFF701",
        "error",
        STORING + "def start():\n    return load.apply_async((1,), ignore_result=True).ready()\n",
        IGNORING + "def start():\n    return load.apply_async((1,), ignore_result=False).ready()\n",
    ),
    "state_that_the_task_writes": Twins(
        "OFF701",
        "error",
        IGNORING + READS["by_its_key"],
        f"{HEAD}@shared_task(bind=True, ignore_result=True)\ndef load(self, pk):\n"
        '    self.update_state(state="HALF")\n\n' + READS["by_its_key"],
    ),
    "pool_of_processes": Twins(
        "OFF701",
        "error",
        IGNORING + READS["at_once"],
        "import multiprocessing\n\ndef load(pk):\n    return pk\n\ndef start():\n"
        "    pool = multiprocessing.Pool(2)\n    return pool.apply_async(load, (1,)).ready()\n",
    ),
}
SHOW = f"{STORING}def state_of(key):\n    return AsyncResult(str(key)).state\n"
IGNORED = "CELERY_TASK_IGNORE_RESULT = True\n"


@pytest.mark.parametrize("name", CASES)
def test_a_result_that_its_task_ignores_tells_nothing(tmp_path: Path, name: str) -> None:
    check(CASES[name], tmp_path)


def said(folder: Path, settings: str, code: str, **others: str) -> set[str]:
    found = numbers(folder, code, settings=settings, **others)
    return {severity for rule, severity in found if rule == "OFF701"}


@pytest.mark.parametrize(
    "read",
    [
        "AsyncResult(str(key)).state",
        "AsyncResult(key).ready()",
        "load.AsyncResult(key).successful()",
        "load.delay(1).result",
    ],
)
def test_settings_that_ignore_all_results_are_heeded(tmp_path: Path, read: str) -> None:
    code = f"{STORING}def state_of(key):\n    return {read}\n"
    assert said(tmp_path / "wrong", IGNORED, code) == {"error"}
    assert said(tmp_path / "right", IGNORED.replace("True", "False"), code) == set()


def test_a_helper_may_make_the_result(tmp_path: Path) -> None:
    code = f"{STORING}def found(key):\n    return AsyncResult(key)\n\n"
    code += "def state_of(key):\n    return found(key).state\n"
    assert said(tmp_path, IGNORED, code) == {"error"}


@pytest.mark.parametrize(
    "other",
    [
        "@shared_task(ignore_result=False)\ndef keep():\n    return 1\n",
        "class Kept:\n    ignore_result = False\n",
        'OPTIONS = {"ignore_result": False}\n',
        "@shared_task(bind=True)\ndef keep(self):\n    self.update_state(state='HALF')\n",
        "def other(app):\n    return app.send_task('of.another.project')\n",
    ],
)
def test_a_task_that_may_store_its_result_makes_reads_right(tmp_path: Path, other: str) -> None:
    others = {"others": f"from celery import shared_task\n\n{other}"}
    assert said(tmp_path, IGNORED, SHOW, **others) == set()


@pytest.mark.parametrize(
    "settings",
    [
        "",
        "CELERY_TASK_IGNORE_RESULT = env.bool('IGNORE')\n",
        "if DEBUG:\n    CELERY_TASK_IGNORE_RESULT = True\n",
    ],
)
def test_settings_that_do_not_ignore_results_make_reads_right(
    tmp_path: Path, settings: str
) -> None:
    assert said(tmp_path, settings, SHOW) == set()


def test_settings_of_a_developer_ignore_no_results_of_the_service(tmp_path: Path) -> None:
    others = {"settings/__init__": "", "settings/base": "A = 1\n"}
    for stem, found in (("local", set()), ("production", {"error"})):
        files = {**others, f"settings/{stem}": IGNORED}
        said = {s for rule, s in numbers(tmp_path / stem, SHOW, **files) if rule == "OFF701"}
        assert said == found


DJANGO = "'django.conf:settings', namespace='CELERY'"
APP = "from celery import Celery\n\napp = Celery('shop', broker='redis://redis')\n"


@pytest.mark.parametrize(
    ("app", "settings", "severity"),
    [
        (APP, "", {"warning"}),
        (APP.replace("broker=", "backend="), "", set()),
        (f"{APP}app.conf.result_backend = 'redis://redis'\n", "", set()),
        (APP, "CELERY_RESULT_BACKEND = 'django-db'\n", set()),
        (APP, "CACHES = {'default': {'BACKEND': 'x'}}\n", {"warning"}),
        (f"{APP}app.config_from_object({DJANGO})\n", "", {"warning"}),
        (f"{APP}app.config_from_object('celeryconfig')\n", "", set()),
        (APP.replace(")", ", **OPTIONS)"), "", set()),
        ("", "", set()),
    ],
)
@pytest.mark.parametrize("read", ["load.delay(1).ready()", "AsyncResult(key).state"])
def test_an_app_without_a_backend_stores_nothing(
    tmp_path: Path, app: str, settings: str, severity: set[str], read: str
) -> None:
    code = f"{STORING}def state_of(key):\n    return {read}\n"
    limits = "CELERY_TASK_TIME_LIMIT = 60\n"
    assert said(tmp_path, limits + settings, code, celery=app) == severity
