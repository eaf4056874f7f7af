"""The reference page of jobs: its table of `@job` says what the code says."""

import re
from dataclasses import MISSING, fields
from pathlib import Path

from offload.jobs import job

PROJECT = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}"
TEXT = (PROJECT / "docs/reference/jobs.md").read_text()
REQUIRED = object()


def test_the_page_has_every_parameter_of_job_with_its_default() -> None:
    section = TEXT.split("\n## What `@job` takes\n", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| `(\w+)` \| (?:`(.+?)`)? ?\|", section, re.MULTILINE)
    found = {name: eval(default) if default else REQUIRED for name, default in rows}
    expected = {
        field.name: REQUIRED if field.default is MISSING else field.default
        for field in fields(job)
        # It is given by its place, not by its name.
        if field.name != "name"
    }
    assert found == expected, "docs/reference/jobs.md, the table below `What @job takes`"
