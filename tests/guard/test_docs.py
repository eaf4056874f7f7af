"""Every number has a page, and the pages' examples are what they say: the wrong one is found, the
right one is not.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cases import FENCE
from nets import SERVICE

from offload_dev.lint.grade import grade
from offload_dev.lint.registry import RULES
from offload_dev.lint.source import Project

PAGES = SERVICE / "docs" / "guard"


@pytest.mark.parametrize("number", RULES)
def test_the_examples_of_a_page_are_true(number: str, tmp_path: Path) -> None:
    text = (PAGES / f"{number}.md").read_text()
    assert text.startswith(f"# {number}: {RULES[number].message}\n")
    assert f"Instead: {RULES[number].instead}.\n" in text
    for half in ("wrong", "right"):
        package = tmp_path / half / "app"
        package.mkdir(parents=True)
        for other in ("__init__", "compute", "jobs"):
            (package / f"{other}.py").touch()
        for side, name, source in FENCE.findall(text):
            if side == half:
                (package / name).write_text(source)
    wrong, right = (
        [finding.rule for finding in grade(Project(tmp_path / half))] for half in ("wrong", "right")
    )
    assert number in wrong
    assert right == []


RUN_AS_WRITTEN = """
import asyncio
import inspect
import sys
from importlib import import_module

import django
from celery import Celery
from django.conf import settings
from django.core.management import call_command
from kombu import Queue

Celery("docs").conf.task_queues = [Queue("cpu")]
apps = ["django.contrib.contenttypes", "django.contrib.auth", "offload.jobs"]
database = {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}
settings.configure(INSTALLED_APPS=apps, SECRET_KEY="docs", DATABASES={"default": database})
django.setup()
call_command("migrate", verbosity=0)
module = import_module(sys.argv[1])

if sys.argv[1] == "app.jobs":
    print(module.risk.function(module.Params(seed=1), None))
    sys.exit()

from offload.jobs.models import Job

arguments = [None]
if "job_id" in inspect.signature(module.view).parameters:
    from offload.jobs import submit_sync
    from app.jobs import Params, report
    arguments.append(submit_sync(report, Params(pk=7), owner="ann").pk)
found = module.view(*arguments)
print(asyncio.run(found) if inspect.iscoroutine(found) else found)
assert Job.objects.count() == 1
"""
JOBS = re.compile(r"^```python right/jobs\.py\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", ["OFF204", "OFF301", "OFF302", "OFF306", "OFF604"])
def test_the_right_example_of_a_page_about_jobs_runs_as_written(
    number: str, tmp_path: Path
) -> None:
    a_job = JOBS.search((PAGES / "OFF306.md").read_text())
    assert a_job
    files = {
        "compute.py": "def simulate(seed):\n    return 1.0\n\n\ndef pages(pk):\n    return 1\n",
        "jobs.py": a_job[1],
    }
    text = (PAGES / f"{number}.md").read_text()
    right = {name: source for half, name, source in FENCE.findall(text) if half == "right"}
    package = tmp_path / "app"
    package.mkdir()
    for name, source in (files | right).items():
        (package / name).write_text(source)

    name = "views" if "views.py" in right else "jobs"
    done = subprocess.run(
        [sys.executable, "-c", RUN_AS_WRITTEN, f"app.{name}"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(SERVICE)])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_check_has_a_page() -> None:
    folder = SERVICE / "offload" / "guard" / "checks"
    numbers = {
        number
        for path in folder.glob("*.py")
        for number in re.findall(r'"([EW]7\d\d)"', path.read_text())
    }
    assert numbers == {path.stem for path in PAGES.glob("[EW]7*.md")}


def test_the_index_names_every_page() -> None:
    index = (PAGES / "README.md").read_text()
    assert [page.stem for page in PAGES.glob("*[0-9].md") if f"({page.name})" not in index] == []


@pytest.mark.parametrize("page", sorted(PAGES.glob("*[0-9].md")), ids=lambda page: page.stem)
def test_every_page_ends_with_why_and_calls_the_reason_by_its_title(page: Path) -> None:
    why = re.fullmatch(r"Why: \[(.+)\]\((.+)\)\.", page.read_text().splitlines()[-1])
    assert why
    title, target = why.groups()
    assert (page.parent / target).read_text().startswith(f"# {title}\n")
