"""Every number has a page, and the pages' examples are what they say: the wrong one is found, the
right one is not.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cases import CORPUS, FENCE
from nets import SERVICE

from offload_dev.lint.checks.registry import RULES
from offload_dev.lint.grade import grade
from offload_dev.lint.source.project import Project

PAGES = SERVICE / "docs" / "guard"


@pytest.mark.parametrize("number", RULES)
def test_the_examples_of_a_page_are_true(number: str, tmp_path: Path) -> None:
    page = PAGES / f"{number}.md"
    assert page.exists(), f"a new rule needs its page: docs/guard/{page.name}"
    text = page.read_text()
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


# What the examples import from files of the same package that their page does not show.
STAND_INS = {"jobs.py": "OFF604", "upstreams.py": "OFF602"}
COMPUTE = "def simulate(seed):\n    return 1.0\n\n\ndef pages(pk):\n    return 1\n"
# Of these files of a page, the first one is run.
MAIN = ("views.py", "api.py", "jobs.py", "upstreams.py", "compute.py")


def right_files(number: str) -> dict[str, str]:
    text = (PAGES / f"{number}.md").read_text()
    return {name: source for half, name, source in FENCE.findall(text) if half == "right"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the right example of each page returned when it was run."""
    root = tmp_path_factory.mktemp("pages")
    stand_ins = {name: right_files(number)[name] for name, number in STAND_INS.items()}
    mains = []
    for number in RULES:
        package = root / number
        package.mkdir()
        right = right_files(number)
        for name, source in ({"compute.py": COMPUTE} | stand_ins | right).items():
            (package / name).write_text(source)
        main = next(name for name in MAIN if name in right)
        meant = [name for name in right if name == main or name not in MAIN]
        mains += [f"{number}.{name.removesuffix('.py')}" for name in meant]

    return output_of("run_pages.py", root, mains)


def output_of(script: str, root: Path, arguments: list[str]) -> dict[str, Any]:
    """The JSON that a script of this folder prints in a process of its own."""
    paths = (root, SERVICE, CORPUS)
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name(script), *arguments],
        cwd=root,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return printed


@pytest.mark.parametrize("number", RULES)
def test_the_right_example_of_a_page_runs_as_written(
    number: str, runs: dict[str, dict[str, Any]]
) -> None:
    of_page = {page: run for page, run in runs.items() if page.startswith(f"{number}.")}
    assert of_page
    for page, run in of_page.items():
        assert "failed" not in run, run["failed"]
        source = right_files(number)[f"{page.partition('.')[2]}.py"]
        if "submit" in source:
            assert run["returned"]["jobs"] == 1


CHECK_FENCE = re.compile(
    r"^```(?:python|sh) (wrong|right)/(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
CHECKS = sorted(page.stem for page in PAGES.glob("[EW]7*.md"))


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the checks find in the two examples of each page, as `E701/wrong` and `E701/right`."""
    root = tmp_path_factory.mktemp("checks")
    folders = []
    for number in CHECKS:
        for half, name, source in CHECK_FENCE.findall((PAGES / f"{number}.md").read_text()):
            folder = root / number / half
            folder.mkdir(parents=True)
            (folder / name).write_text(source)
            folders.append(f"{number}/{half}")
    return output_of("check_pages.py", root, folders)


@pytest.mark.parametrize("number", CHECKS)
def test_the_examples_of_a_check_are_true(number: str, checked: dict[str, dict[str, Any]]) -> None:
    wrong, right = checked[f"{number}/wrong"], checked[f"{number}/right"]
    assert number in wrong.get("returned", ()), wrong
    assert right == {"returned": []}


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
    left_out = [page.stem for page in PAGES.glob("*[0-9].md") if f"({page.name})" not in index]
    assert left_out == [], "docs/guard/README.md does not name them"


@pytest.mark.parametrize("page", sorted(PAGES.glob("*[0-9].md")), ids=lambda page: page.stem)
def test_every_page_ends_with_why_and_calls_the_reason_by_its_title(page: Path) -> None:
    why = re.fullmatch(r"Why: \[(.+)\]\((.+)\)\.", page.read_text().splitlines()[-1])
    assert why, "its last line is no `Why: [title of a page](../when-async-helps/page.md).`"
    title, target = why.groups()
    assert (page.parent / target).read_text().startswith(f"# {title}\n")


@pytest.mark.parametrize("page", sorted(PAGES.glob("*[0-9].md")), ids=lambda page: page.stem)
def test_every_page_shows_public_code_or_says_what_was_searched(page: Path) -> None:
    text = page.read_text()
    links = re.findall(r"<https://github\.com/[^/]+/[^/]+/(.+)>", text)
    assert links or "\nNot found in public code: " in text, (
        "it neither has a permalink to public code nor says `Not found in public code: ` and where"
    )
    permalink = r"blob/[0-9a-f]{40}/\S+#L\d+|(issues|pull)/\d+"
    assert [link for link in links if not re.fullmatch(permalink, link)] == []
