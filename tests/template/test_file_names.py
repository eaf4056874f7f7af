"""A file that a comment or a page names is there: whoever renames one learns who spoke of it."""

import re
from collections.abc import Iterator

import pytest

from .conftest import ROOT

TEMPLATE = ROOT / "{{cookiecutter.project_slug}}"
# `worker/heartbeat.py`; not `PACKAGE/readings/jobs.py`, which a reader makes.
NAMED = re.compile(r"`((?!PACKAGE/)[\w./-]+\.(?:py|toml|md|html|css|yml))`")
# Who speaks of files. The linter also speaks of files of the projects that it reads.
SPEAKERS = (
    *("CONTRIBUTING.md", "README.md", "docs/decisions/*.md"),
    *(f"{TEMPLATE.name}/offload/**/*.{suffix}" for suffix in ("py", "html", "css")),
    *(f"{TEMPLATE.name}/offload_dev/{folder}*.py" for folder in ("", "launcher/", "pytest/")),
    f"{TEMPLATE.name}/offload_dev/contracts.toml",
    *(f"{TEMPLATE.name}/docs/{page}.md" for page in ("architecture", "operations", "production")),
    f"{TEMPLATE.name}/docs/reference/*.md",
)
# What a service makes when `make check` runs.
MADE = {"offload_dev/standard_files.txt"}


def files() -> Iterator[str]:
    """The files of the repository, without what a run of it makes."""
    for folder in (TEMPLATE, *(ROOT / name for name in ("docs", "hooks", "requirements", "tests"))):
        yield from (f"/{path.relative_to(ROOT)}" for path in folder.rglob("*") if path.is_file())
    yield from (f"/{path.name}" for path in ROOT.iterdir() if path.is_file())


@pytest.mark.parametrize("speakers", SPEAKERS)
def test_a_file_that_is_named_is_there(speakers: str) -> None:
    there = set(files())
    found = list(ROOT.glob(speakers))
    assert found
    gone = [
        f"{speaker.relative_to(ROOT)}: {name}"
        for speaker in found
        for name in NAMED.findall(speaker.read_text())
        if name not in MADE and not any(file.endswith(f"/{name}") for file in there)
    ]
    assert gone == [], "no file has this name (any more)"
