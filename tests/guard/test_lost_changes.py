"""Values that overlapping runs read, change and write."""

from pathlib import Path

import pytest
from example_shop import findings
from twins import numbers

MODELS = (
    "from django.db import models\n\n\n"
    "class Account(models.Model):\n    total = models.IntegerField()\n"
    "    attempts = models.IntegerField()\n    note = models.TextField()\n"
    "    paid = models.BooleanField()\n"
)
HEAD = (
    "import subprocess\n\nimport redis\nimport requests\nfrom asgiref.sync import sync_to_async\n"
    "from celery import Task, shared_task\nfrom django.core.cache import cache\n"
    "from django.db import transaction\nfrom django.db.models import F\n\n"
    "from shop.accounts import Account\n\nSTORE = redis.Redis()\n\n\n"
)
LOST = ("OFF112", "warning")
ADDS = "    account = Account.objects.get(pk=pk)\n    account.total += 5\n    account.save()\n"
TASK = "@shared_task(time_limit=9)\ndef run(pk):\n"
ROWS = {
    "task": (TASK + ADDS, True),
    "coroutine": (
        "async def view(request, pk):\n    account = await Account.objects.aget(pk=pk)\n"
        "    account.total = account.total - 5\n    await account.asave()\n",
        True,
    ),
    "coroutine_that_gives_way": (
        "async def view(request, pk):\n"
        + ADDS.replace("    account.save", "    await notify()\n    account.save"),
        True,
    ),
    "coroutine_that_awaits_nothing": ("async def view(request, pk):\n" + ADDS, False),
    "some_fields": (TASK + ADDS.replace("save()", "save(update_fields=['total'])"), True),
    "below_a_task": (TASK + "    add(pk)\n\n\ndef add(pk):\n" + ADDS, True),
    "in_a_thread": ("@sync_to_async\ndef add(pk):\n" + ADDS, True),
    "hook_of_tasks": (
        "class Counted(Task):\n    def on_success(self, value, key, args, kwargs):\n"
        + ADDS.replace("pk=pk", "pk=args[0]").replace("    ", "        "),
        True,
    ),
    "each_row": (
        TASK + "    for account in Account.objects.filter(pk=pk):\n        account.total += 5\n"
        "        account.save()\n",
        True,
    ),
    "view": ("def view(request, pk):\n" + ADDS, False),
    "computed_by_the_database": (TASK + ADDS.replace("+= 5", "+= F('total')"), False),
    "computed_by_the_database_in_full": (
        "from django.db import models\n\n" + TASK + ADDS.replace("+= 5", "+= models.F('total')"),
        False,
    ),
    "locked": (TASK + ADDS.replace(".get(", ".select_for_update().get("), False),
    "lock_of_the_cache": (
        TASK + "    with cache.lock('a', timeout=9):\n" + ADDS.replace("    ", "        "),
        False,
    ),
    "new_row": (TASK + ADDS.replace(".get(pk=pk)", ".create(total=1)"), False),
    "unsaved": (TASK + ADDS.replace("    account.save()\n", ""), False),
    "other_value": (TASK + ADDS.replace("+= 5", "= pk + 5"), False),
    "own_loop": (
        TASK + "    account = Account.objects.get(pk=pk)\n    for _ in range(9):\n"
        "        account.total += 1\n    account.save()\n",
        False,
    ),
    "attempts": (TASK + ADDS.replace("total", "attempts"), False),
    "text": (TASK + ADDS.replace("total += 5", "note += 'a'"), False),
}
WORK = (
    TASK + "    account = Account.objects.get(pk=pk)\n"
    "    account.note = subprocess.run(['hash'], timeout=9).stdout\n    account.save()\n"
)
OTHERS = "def pay(request, pk):\n    Account.objects.filter(pk=pk).update(paid=True)\n"
OLD = {
    "others_change_it": (WORK + "\n\n" + OTHERS, True),
    "waits_for_a_service": (
        WORK.replace("subprocess.run(['hash'], timeout=9).stdout", "requests.get('a', timeout=9)")
        + "\n\n"
        + OTHERS,
        True,
    ),
    "nobody_else": (WORK, False),
    "its_own_field": (
        WORK.replace("save()", "save(update_fields=['note'])") + "\n\n" + OTHERS,
        False,
    ),
    "short": (
        WORK.replace("subprocess.run(['hash'], timeout=9).stdout", "'a'") + "\n\n" + OTHERS,
        False,
    ),
    "read_again": (
        WORK.replace(
            "    account.save", "    account = Account.objects.get(pk=pk)\n    account.save"
        )
        + "\n\n"
        + OTHERS,
        False,
    ),
}
CACHES = {
    "counter": (TASK + "    n = cache.get(pk, 0)\n    cache.set(pk, n + 1, 60)\n", True),
    "counter_in_two_lines": (
        TASK + "    n = cache.get(pk) or 0\n    n += 1\n    cache.set(pk, n)\n",
        True,
    ),
    "counter_of_requests": (
        "async def view(request):\n    n = await cache.aget('n', 0)\n    more = n + 1\n"
        "    await cache.aset('n', more)\n",
        True,
    ),
    "counter_of_redis": (TASK + "    n = STORE.get(pk)\n    STORE.set(pk, n - 1)\n", True),
    "other_key": (TASK + "    n = cache.get(pk, 0)\n    cache.set('b', n + 1)\n", False),
    "value_of_the_cache_that_stays": (
        TASK + "    n = cache.get(pk, 0)\n    cache.set(pk, 1)\n    print(n)\n",
        False,
    ),
    "value_that_is_made_once": (
        TASK + "    n = cache.get(pk)\n    if n is None:\n        n = len('a')\n"
        "        cache.set(pk, n)\n    return n\n",
        False,
    ),
    "increment": (TASK + "    cache.incr(pk)\n", False),
    "sign": (
        TASK + "    if cache.get(pk):\n        return\n    cache.set(pk, True, 60)\n",
        True,
    ),
    "sign_that_is_added": (
        TASK + "    if not cache.add(pk, True, 60):\n        return\n    print(pk)\n",
        False,
    ),
    "sign_of_another_key": (
        TASK + "    if cache.get('a'):\n        return\n    cache.set(pk, True, 60)\n",
        False,
    ),
    "answer_from_the_cache": (
        TASK + "    if cache.get(pk):\n        return\n    cache.set(pk, len('a'), 60)\n",
        False,
    ),
    "answer_of_redis_for_a_minute": (
        TASK + "    if STORE.get(pk):\n        return\n    STORE.setex(pk, 60, len('a'))\n",
        False,
    ),
    "sign_in_redis_for_a_minute": (
        TASK + "    if STORE.get(pk):\n        return\n    STORE.setex(pk, 60, 1)\n",
        True,
    ),
    "no_way_out": (
        TASK + "    if cache.get(pk):\n        print(pk)\n    cache.set(pk, True, 60)\n",
        False,
    ),
}


CASES = ROWS | OLD | CACHES


@pytest.mark.parametrize("name", CASES)
def test_a_change_that_others_make_in_between_is_lost(tmp_path: Path, name: str) -> None:
    code, is_lost = CASES[name]
    found = numbers(tmp_path, "", accounts=MODELS, tasks=HEAD + code)
    assert (LOST in found) is is_lost


def test_one_line_for_each_row_is_enough(tmp_path: Path) -> None:
    code = TASK + ADDS.replace("+= 5\n", "+= 5\n    account.total -= 1\n")
    found = findings(tmp_path, "", accounts=MODELS, tasks=HEAD + code)
    assert [each.rule for each in found if each.rule == "OFF112"] == ["OFF112"]


SETTINGS = "INSTALLED_APPS = []\nDATABASES = {}\n"
COUNTS = "async def view(request):\n    n = cache.get('n', 0)\nBETWEEN    cache.set('n', n + 1)\n"
ALONE = {
    "task_of_one_process": (CACHES["sign"][0], "", "", False),
    "task_of_threads": (CACHES["sign"][0], "", "worker: celery -A shop worker -P threads", True),
    "task_of_a_queue_with_threads": (
        "from huey.contrib import djhuey\n\n"
        + CACHES["sign"][0].replace("@shared_task(time_limit=9)", "@djhuey.task()"),
        "",
        "",
        True,
    ),
    "task_with_a_server": (
        CACHES["sign"][0],
        "CACHES = {'default': {'BACKEND': 'django.core.cache.backends.redis.RedisCache'}}\n",
        "",
        True,
    ),
    "coroutine": (COUNTS.replace("BETWEEN", ""), "", "", False),
    "coroutine_that_gives_way_at_its_end": (
        COUNTS.replace("BETWEEN", "    if n > 9:\n        await request.aread()\n        return\n"),
        "",
        "",
        False,
    ),
    "coroutine_that_gives_way_and_writes_at_its_end": (
        COUNTS.split("BETWEEN")[0]
        + "    if n < 9:\n        await request.aread()\n        cache.set('n', n + 1)\n"
        "        return n\n",
        "",
        "",
        True,
    ),
    "coroutine_that_gives_way_or_returns": (
        COUNTS.replace(
            "BETWEEN", "    if n > 9:\n        return\n    else:\n        await request.aread()\n"
        ),
        "",
        "",
        True,
    ),
    "coroutine_that_gives_way": (
        COUNTS.replace("BETWEEN", "    await request.aread()\n"),
        "",
        "",
        True,
    ),
    "coroutine_in_a_loop_that_gives_way": (
        COUNTS.replace("BETWEEN", "    async for each in request:\n        print(each)\n"),
        "",
        "",
        True,
    ),
}


@pytest.mark.parametrize("name", ALONE)
def test_a_cache_of_the_process_is_changed_by_one_run_at_a_time(tmp_path: Path, name: str) -> None:
    code, more, procfile, is_lost = ALONE[name]
    (tmp_path / "Procfile").write_text(procfile)
    found = numbers(tmp_path, "", accounts=MODELS, tasks=HEAD + code, settings=SETTINGS + more)
    assert (LOST in found) is is_lost
