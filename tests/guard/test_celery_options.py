"""Options of tasks, schedules and settings of Celery that do not do what is wanted."""

from pathlib import Path

import pytest
from example_shop import findings
from twins import Twins, check, numbers

HEAD = """
from celery import Celery, shared_task
from celery.schedules import crontab

app = Celery("shop", broker="redis://localhost:6379/0")
app.conf.task_time_limit = 60

"""


def _task(options: str) -> str:
    return f"{HEAD}@shared_task({options})\ndef send(pk):\n    return pk\n"


CASES = {
    "backoff_without_autoretry": Twins(
        "OFF701",
        "error",
        _task("retry_backoff=True, max_retries=3"),
        _task("retry_backoff=True, autoretry_for=(OSError,)"),
    ),
    "backoff_that_the_project_reads": Twins(
        "OFF701",
        "error",
        _task("retry_backoff=True, max_retries=3"),
        _task("retry_backoff=True, max_retries=3")
        + "\ndef wait(task):\n    return task.retry_backoff\n",
    ),
    "backoff_with_a_base": Twins(
        "OFF701",
        "error",
        _task("retry_backoff=True"),
        _task("retry_backoff=True, base=Retried"),
    ),
    "lost_workers_without_late_acknowledgement": Twins(
        "OFF701",
        "error",
        _task("reject_on_worker_lost=True"),
        _task("reject_on_worker_lost=True, acks_late=True"),
    ),
    "misspelt_option": Twins("OFF701", "error", _task("ack_late=True"), _task("acks_late=True")),
    "option_of_another_library": Twins(
        "OFF701", "error", _task("timeout=9"), _task("time_limit=9")
    ),
    "delay_before_the_next_attempt": Twins(
        "OFF701",
        "error",
        _task("default_retry_delay=7200, max_retries=5"),
        _task("default_retry_delay=720, max_retries=5"),
    ),
    "countdown_of_an_attempt": Twins(
        "OFF701",
        "error",
        _task("bind=True") + "\ndef again(task):\n    task.retry(countdown=6 * 3600)\n",
        _task("bind=True") + "\ndef again(task):\n    task.retry(countdown=600)\n",
    ),
    "countdown_of_a_signature": Twins(
        "OFF701",
        "error",
        _task("bind=True") + "\ndef later(pk):\n    send.s(pk).set(countdown=86400).delay()\n",
        _task("bind=True") + "\ndef later(pk):\n    send.s(pk).set(countdown=864).delay()\n",
    ),
    "message_that_expires_before_its_time": Twins(
        "OFF701",
        "error",
        _task("bind=True") + "\ndef later(pk):\n"
        "    send.apply_async((pk,), countdown=600, expires=60)\n",
        _task("bind=True") + "\ndef later(pk):\n"
        "    send.apply_async((pk,), countdown=60, expires=600)\n",
    ),
    "each_minute_of_an_hour": Twins(
        "OFF701",
        "warning",
        HEAD
        + 'DAILY = {"task": "shop.views.send", "schedule": crontab(hour=3)}\n'
        + _task("time_limit=9"),
        HEAD + 'DAILY = {"task": "shop.views.send", "schedule": crontab(hour=3, minute=0)}\n'
        'HOURLY = {"task": "shop.views.send", "schedule": crontab("0", hour="*/2")}\n'
        + _task("time_limit=9"),
    ),
    "schedule_of_no_task": Twins(
        "OFF701",
        "error",
        _task("time_limit=9")
        + 'app.conf.beat_schedule = {"a": {"task": "shop.views.sned", "schedule": 60.0}}\n',
        _task('time_limit=9, name="shop.views.other"')
        + 'app.conf.beat_schedule = {"a": {"task": "shop.views.other", "schedule": 60.0}}\n',
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_celery_does_not_use_is_found(tmp_path: Path, name: str) -> None:
    check(CASES[name], tmp_path)


@pytest.mark.parametrize(
    ("settings", "is_wrong"),
    [
        ("CELERY_TASK_SOFT_TIME_LIMIT = 600\nCELERY_TASK_TIME_LIMIT = 300", True),
        ("CELERY_TASK_SOFT_TIME_LIMIT = 60\nCELERY_TASK_TIME_LIMIT = 300", False),
        ("CELERY_TASK_REJECT_ON_WORKER_LOST = True", True),
        ("CELERY_TASK_REJECT_ON_WORKER_LOST = True\nCELERY_TASK_ACKS_LATE = True", False),
        ("CELERY_TASK_REJECT_ON_WORKER_LOST = False", False),
        ("CELERY_WORKER_MAX_TASK_PER_CHILD = 9", True),
        ("CELERY_WORKER_MAX_TASKS_PER_CHILD = 9", False),
        ("CELERY_ACKS_ON_FAILURE_OR_TIMEOUT = False", False),
        ("CELERRY_TASK_TIME_LIMIT = 30", True),
        ("CELERYD_TASK_TIME_LIMIT = 30", False),
    ],
)
def test_settings_that_contradict_each_other_are_found(
    tmp_path: Path, settings: str, *, is_wrong: bool
) -> None:
    app = (
        "from celery import Celery\n\napp = Celery('shop')\n"
        "app.config_from_object('django.conf:settings', namespace='CELERY')\n"
    )
    found = numbers(tmp_path, "", settings=f"{settings}\n", celery=app)
    assert (("OFF701", "error") in found) is is_wrong


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("app.conf.update(prefetch_multiplier=1)", "worker_prefetch_multiplier"),
        ("app.conf.worker_max_task_per_child = 9", "worker_max_tasks_per_child"),
        ("app.conf.worker_max_tasks_per_child = 9", ""),
        ("app.conf.redis_backend_use_ssl = {}", ""),
    ],
)
def test_a_misspelt_setting_of_the_app_is_found(tmp_path: Path, line: str, meant: str) -> None:
    found = findings(tmp_path, f"from celery import Celery\n\napp = Celery('shop')\n{line}\n")
    advice = {each.instead for each in found if each.rule == "OFF701"}
    assert advice == ({f"`app.conf.{meant} = …`"} if meant else set())


def test_a_schedule_says_what_it_runs_and_what_to_write(tmp_path: Path) -> None:
    (found,) = (
        each
        for each in findings(tmp_path, CASES["each_minute_of_an_hour"].wrong)
        if each.rule == "OFF701"
    )
    assert found.subject == "`crontab(hour=3)`, which runs each minute then,"
    assert found.instead == "`crontab(minute=0, …)`"


@pytest.mark.parametrize(("of", "count"), [("RESULT_BACKEND", 1), ("BROKER", 0)])
def test_the_visibility_timeout_of_the_results_alone_is_found(
    tmp_path: Path, of: str, count: int
) -> None:
    settings = (
        "CELERY_BROKER_URL = 'redis://localhost'\nCELERY_TASK_TIME_LIMIT = 60\n"
        f"CELERY_{of}_TRANSPORT_OPTIONS = {{'visibility_timeout': 43200}}\n"
    )
    found = [each for each in findings(tmp_path, "", settings=settings) if each.rule == "OFF701"]
    assert [each.severity for each in found] == ["warning"] * count


LIMITED = """
from celery import Celery

app = Celery("shop")
app.conf.task_time_limit = 60
app.conf.worker_max_tasks_per_child = 100
"""


@pytest.mark.parametrize(
    ("command", "count"),
    [
        ("worker: celery -A shop worker", 0),
        ("worker: celery -A shop worker --pool=prefork", 0),
        ("worker: celery -A shop worker -P solo", 2),
        ('CMD ["celery", "-A", "shop", "worker", "-P", "threads"]', 2),
        ("worker: celery -A shop worker \\\n  --pool=gevent -c 100", 1),
        ("a: celery -A shop worker -P solo\nb: celery -A shop worker", 0),
        ("# worker: celery -A shop worker -P solo", 0),
    ],
)
def test_limits_that_no_worker_heeds_are_found(tmp_path: Path, command: str, count: int) -> None:
    (tmp_path / "Procfile").write_text(f"web: uvicorn shop.asgi:application\n{command}\n")
    found = [each for each in findings(tmp_path, LIMITED) if each.rule == "OFF701"]
    assert len(found) == count
    assert all(each.likely == "right if another command starts the workers" for each in found)


URLS = """
from django.urls import path

from .views import Page, view

urlpatterns = [path("", view), path("page", Page.as_view())]
"""
VIEWS = """
from django.db import transaction

VIEW(request):
    return None

class Page(View):
    HANDLER(self, request):
        return None
"""


@pytest.mark.parametrize(
    ("view", "handler", "refused"),
    [
        ("def view", "def get", ""),
        ("async def view", "def get", "`view`"),
        ("def view", "async def get", "`Page.get`"),
        ("@transaction.non_atomic_requests\nasync def view", "def get", ""),
    ],
)
def test_async_views_beside_atomic_requests_are_found(
    tmp_path: Path, view: str, handler: str, refused: str
) -> None:
    views = VIEWS.replace("VIEW", view).replace("HANDLER", handler)
    settings = 'DATABASES = {"default": {\n    "ENGINE": "x",\n    "ATOMIC_REQUESTS": True,\n}}\n'
    found = findings(tmp_path, views, urls=URLS, settings=settings)
    subjects = [(each.line, each.subject) for each in found if each.rule == "OFF701"]
    text = f"`ATOMIC_REQUESTS`, with which Django refuses the async {refused},"
    assert subjects == ([(3, text)] if refused else [])


@pytest.mark.parametrize(("pool", "is_wrong"), [("", True), ("import celery_aio_pool\n", False)])
def test_a_pool_may_run_async_tasks(tmp_path: Path, pool: str, *, is_wrong: bool) -> None:
    code = "from celery import shared_task\n\n@shared_task\nasync def load(pk):\n    return pk\n"
    assert (("OFF304", "error") in numbers(tmp_path, "", tasks=code, celery=pool)) is is_wrong


@pytest.mark.parametrize(
    ("settings", "is_wrong"),
    [
        ("", True),
        ("CELERY_TASK_ALWAYS_EAGER = True\n", False),
        ("CELERY_TASK_ALWAYS_EAGER = DEBUG\n", True),
        ("if DEBUG:\n    CELERY_TASK_ALWAYS_EAGER = True\n", True),
    ],
)
def test_an_eager_task_is_in_the_transaction(
    tmp_path: Path, settings: str, *, is_wrong: bool
) -> None:
    code = (
        "from celery import shared_task\nfrom django.db import transaction\n\n"
        "@shared_task\ndef send(pk):\n    return Order.objects.get(pk=pk)\n\n"
        "def view(request):\n    with transaction.atomic():\n"
        "        order = Order.objects.create()\n        send.delay(order.pk)\n"
    )
    found = numbers(tmp_path, code, settings=settings)
    assert (("OFF306", "error") in found) is is_wrong
