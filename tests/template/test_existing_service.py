"""docs/existing-service.md, followed as typed by a plain Django project with Celery.

The project has what many have: ATOMIC_REQUESTS, a time limit for all of Celery's tasks, late
acknowledgements, results that are kept, an older API of its own under /api/, and a second Celery
app.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from waiting import wait_until

from offload_dev.launcher.embedded_valkey import command as valkey
from offload_dev.launcher.ports import first_free_port

from .conftest import BIN, SHARED, run
from .pages import PROJECT, blocks, commands, follow

PAGE = "existing-service.md"
CELERY = """
import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")

app = Celery("mysite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
"""
# Below the settings that `startproject` writes. Its last line is that of the page's anchor.
SETTINGS = """
from os import environ

INSTALLED_APPS += ["shop"]
ALLOWED_HOSTS = ["127.0.0.1"]
DATABASES["default"]["ATOMIC_REQUESTS"] = True
CELERY_BROKER_URL = environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
CELERY_RESULT_BACKEND = CELERY_BROKER_URL
CELERY_TASK_TIME_LIMIT = 1
CELERY_TASK_SOFT_TIME_LIMIT = 1
CELERY_TASK_ACKS_LATE = True
# One of any task an hour.
CELERY_TASK_ANNOTATIONS = {"*": {"rate_limit": "1/h", "time_limit": 1}}
"""
URLS = """
from django.contrib import admin
from django.urls import path
from shop import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("quotes", views.quotes),
    path("api/quotes", views.quotes),
]
"""
# Made after the service's own, so that Celery calls it the current app in the main thread alone.
SECOND_CELERY = """
from celery import Celery

index = Celery("index", broker="redis://127.0.0.1:1/0")
"""
DEADLINE_SECONDS = 120


class Source(BaseHTTPRequestHandler):
    """Answers after 200 ms, as the sandbox does."""

    def do_GET(self) -> None:
        time.sleep(0.2)
        body = json.dumps({"ms": 200}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def source() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Source) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def service(without_example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The old service, in which somebody has followed the page up to its first start."""
    folder = tmp_path_factory.mktemp("existing")
    # Only what the page takes from there: two tests cannot be in each other's way.
    run("cp", "-r", without_example, folder / "generated", cwd=folder)
    mysite = folder / "mysite"
    mysite.mkdir()
    made = run(BIN / "django-admin", "startproject", "mysite", ".", cwd=mysite)
    assert made.returncode == 0, made.stdout
    _write_old_service(mysite)

    for typed, _ in _typed("make", "python3", "cp"):
        extra = SHARED if typed.startswith("make") else ()
        ran = run(*typed.split(), *extra, cwd=folder / "generated")
        assert ran.returncode == 0, ran.stdout
        if "offload-lint" in typed:
            assert "grades:" in ran.stdout

    assert follow(PAGE, mysite, "shop")
    urls = mysite / "mysite" / "urls.py"
    old, new = re.findall(r'make_api\(title="My Site".*\)', (PROJECT / "docs" / PAGE).read_text())
    urls.write_text(urls.read_text().replace(old, new.partition("`")[0]))
    return mysite


def _write_old_service(mysite: Path) -> None:
    package, shop = mysite / "mysite", mysite / "shop"
    (package / "celery.py").write_text(CELERY)
    (package / "__init__.py").write_text("from .celery import app as celery_app\n")
    (package / "urls.py").write_text(URLS)
    settings = package / "settings.py"
    lines = settings.read_text().splitlines()
    (anchor,) = (line for line in lines if line.startswith("DEFAULT_AUTO_FIELD"))
    lines.remove(anchor)
    settings.write_text("\n".join([*lines, SETTINGS, anchor, ""]))
    shop.mkdir()
    (shop / "__init__.py").write_text(SECOND_CELERY)


def _typed(*programs: str) -> list[tuple[str, str | None]]:
    """Each line of the page that begins with one of these programs."""
    return [
        (line, printed)
        for block, printed in commands(PAGE)
        for line in block.splitlines()
        if line.split()[0] in programs
    ]


class Running:
    """The processes of the page's block, and what they need."""

    def __init__(self, mysite: Path, source: str) -> None:
        self.mysite = mysite
        self.processes: list[subprocess.Popen[bytes]] = []
        self.log = mysite / "processes.log"
        self.port, redis_port = first_free_port(2), first_free_port(2)
        self.environment = os.environ | {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "DJANGO_SETTINGS_MODULE": "mysite.settings",
            "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
            "SOURCE_URL": source,
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.start(*valkey(redis_port))

    def start(self, *command: str) -> None:
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                command,
                cwd=self.mysite,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(process)

    def type(self, line: str) -> str:
        """Run one line of the page in a shell, to its end; returns what it printed."""
        line = line.replace("http://127.0.0.1:8000", f"http://127.0.0.1:{self.port}")
        ran = subprocess.run(
            ["bash", "-c", line.replace("curl", "curl -sS")],
            cwd=self.mysite,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr + self.printed()
        return ran.stdout

    def printed(self) -> str:
        return self.log.read_text(errors="replace")[-8000:]

    def until(self, condition: Callable[[], bool]) -> None:
        wait_until(condition, "the service", DEADLINE_SECONDS, every=0.2, logs=self.printed)

    def is_ready(self) -> bool:
        """Whether database, broker and a worker answer."""
        address = f"http://127.0.0.1:{self.port}/health/dependencies"
        return httpx.get(address, trust_env=False).status_code == 200

    def stop(self) -> None:
        # The broker last: without it Celery's own worker does not end.
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(30)


@pytest.fixture(scope="module")
def running(service: Path, source: str) -> Iterator[Running]:
    found = Running(service, source)
    try:
        for line, _ in _typed("python"):
            printed = found.type(line)
        found.environment["TOKEN"] = printed.strip()
        (started,) = (each.text for each in blocks(PAGE) if each.text.startswith("export"))
        for line in started.splitlines()[1:]:
            serving = ["--port", str(found.port)] if "offload.serving" in line else []
            found.start(*line.split(), *serving)
        found.until(found.is_ready)
        yield found
    finally:
        found.stop()


def test_the_requirements_of_the_page_are_those_of_the_standard() -> None:
    (listed,) = (each.text for each in blocks(PAGE) if each.language == "requirements")
    own = (PROJECT / "requirements" / "base.in").read_text().splitlines()
    assert set(listed.splitlines()) <= {line.partition("#")[0].strip() for line in own}


@pytest.mark.timeout(900)
def test_the_page_typed_word_for_word_gives_a_service_that_has_both(running: Running) -> None:
    health, quotes, squares, jobs, old = (running.type(line) for line, _ in _typed("curl"))
    assert json.loads(health)["worker"]
    assert json.loads(quotes) == json.loads(old) == {"ms": [200, 200]}
    assert json.loads(squares)["kind"] == "shop.add_squares"
    assert len(json.loads(jobs)["jobs"]) == 1


@pytest.mark.timeout(900)
def test_settings_for_all_tasks_do_not_hold_for_jobs(running: Running) -> None:
    """The service's limit is 1 s for each task, and the job takes longer. Its own login works."""
    headers = {"Authorization": "Bearer token-of-ann"}
    address = f"http://127.0.0.1:{running.port}"
    with httpx.Client(base_url=address, headers=headers, trust_env=False, timeout=90) as client:
        accepted = client.post("/next/shop/squares", json={"steps": 40_000})
        assert accepted.status_code == 202, accepted.text
        job = accepted.headers["location"]
        assert job.startswith("/next/jobs/")
        running.until(lambda: client.get(job).json()["status"] not in ("queued", "running"))
        ended = client.get(job).json()
    assert ended["status"] == "succeeded", ended
    assert ended["attempts"] == 1
    started, finished = (
        datetime.fromisoformat(ended[f"{name}_at"]) for name in ("started", "finished")
    )
    assert (finished - started).total_seconds() > 1, "the job was too short to tell"
    # The page's format: the line of its end names the job and the request that has submitted it.
    request = accepted.headers["x-request-id"]
    line = f" INFO offload.jobs: job succeeded request={request} job={ended['id']}\n"
    running.until(lambda: line in running.printed())


def test_an_async_view_in_a_transaction_is_named(service: Path) -> None:
    """ATOMIC_REQUESTS may stay; a view of the service's own that would fail is found."""
    code = (
        "import django; django.setup()\n"
        "from django.core import checks\n"
        "from django.urls import path\n"
        "from mysite import urls\n"
        "async def own(request): ...\n"
        "print([each.id for each in checks.run_checks(tags=['offload'])])\n"
        "urls.urlpatterns.append(path('own', own))\n"
        "from django.urls import clear_url_caches; clear_url_caches()\n"
        "print([each.msg for each in checks.run_checks(tags=['offload']) if 'E702' in each.id])\n"
    )
    told = run(sys.executable, "-c", code, cwd=service, DJANGO_SETTINGS_MODULE="mysite.settings")
    first, second = told.stdout.splitlines()[-2:]
    assert "E702" not in first, told.stdout
    assert "View __main__.own is async" in second, told.stdout


def test_a_worker_with_the_wrong_settings_names_them(service: Path) -> None:
    """A service with `config/settings/base.py` has an empty package of the default name."""
    (service / "empty.py").touch()
    command = (sys.executable, "-m", "offload.jobs", "-Q", "cpu")
    told = run(*command, cwd=service, DJANGO_SETTINGS_MODULE="empty")
    assert told.returncode == 1
    assert told.stdout.startswith("The settings empty have no offload.jobs"), told.stdout


def test_a_database_that_jobs_cannot_work_with_is_named(service: Path) -> None:
    code = (
        "import django; django.setup()\n"
        "from django.core import checks\n"
        "from django.test import override_settings\n"
        "class Replica:\n"
        "    def db_for_read(self, model, **hints):\n"
        "        return 'replica' if model._meta.app_label == 'offload_jobs' else None\n"
        "for wrong in ({}, {'USE_TZ': False}, {'DATABASE_ROUTERS': [Replica()]}):\n"
        "    with override_settings(**wrong):\n"
        "        found = checks.run_checks(tags=['offload'])\n"
        "    print([each.msg for each in found if 'E717' in each.id])\n"
        "from django.db import connection\n"
        "connection.vendor = 'mysql'\n"
        "found = checks.run_checks(tags=['offload'])\n"
        "print([each.msg for each in found if 'E717' in each.id])\n"
    )
    told = run(sys.executable, "-c", code, cwd=service, DJANGO_SETTINGS_MODULE="mysite.settings")
    right, local_times, replica, kind = told.stdout.splitlines()[-4:]
    assert right == "[]", told.stdout
    assert "USE_TZ is False" in local_times, told.stdout
    assert "send queries of offload_jobs to 'replica'" in replica, told.stdout
    assert "is of the kind 'mysql'" in kind, told.stdout


def test_a_job_without_its_celery_app_says_where_to_import_it(service: Path) -> None:
    package = service / "mysite" / "__init__.py"
    text = package.read_text()
    package.write_text("")
    try:
        told = run(
            sys.executable,
            "manage.py",
            "check",
            cwd=service,
            DJANGO_SETTINGS_MODULE="mysite.settings",
        )
    finally:
        package.write_text(text)
    # The second app is the only one then.
    assert "This is the Celery app 'index'; if it is not the service's own" in told.stdout
    assert "import that in the `__init__.py` of the settings' package" in told.stdout, told.stdout
