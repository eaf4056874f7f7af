"""The steps of the generated README, typed word for word, pass the project's checks and run."""

import os
import re
from pathlib import Path

import pytest

from .conftest import BIN, ROOT, SHARED, bake, run

# Without the example the same steps pass the same checks, in `make options`: another minute.
EXAMPLES = ["yes", "no"] if os.environ.get("OPTIONS_LONG") else ["yes"]


def make(project: Path, *arguments: str) -> str:
    made = run("make", *arguments, *SHARED, cwd=project)
    assert made.returncode == 0, made.stdout
    return made.stdout


@pytest.mark.timeout(900)
@pytest.mark.parametrize("example", EXAMPLES)
def test_a_newcomer_who_follows_the_readme_has_a_feature_that_passes(
    tmp_path: Path, example: str
) -> None:
    """`make feature` with a short and a long name, and with a table; then all checks pass."""
    assert bake(tmp_path, example=example).returncode == 0
    project = tmp_path / "risk_desk"
    make(project, "feature", "NAME=weather")
    make(project, "feature", "NAME=sea")
    make(project, "feature", "NAME=air_quality_of_northern_europe", "ARGS=--models")

    blocks = re.findall(r"```python\n(.*?)```", (project / "README.md").read_text(), re.DOTALL)
    written = [path.read_text() for path in (project / "risk_desk" / "weather").glob("*.py")]
    assert len(blocks) == 2
    for block in blocks:
        assert any(block in text for text in written), block

    make(project, "check")
    files = "tests/test_weather.py tests/test_air_quality_of_northern_europe.py"
    assert "6 passed" in make(project, "test", f"ARGS={files}")


@pytest.mark.timeout(900)
def test_a_feature_names_each_file_that_it_wrote(tmp_path: Path) -> None:
    """What is not named is not committed, and the next test of the API's document fails."""
    assert bake(tmp_path).returncode == 0
    project = tmp_path / "risk_desk"
    git = ("git", "-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "The first version")):
        assert run(*git, *command, cwd=project).returncode == 0
    printed = make(project, "feature", "NAME=weather", "ARGS=--models")
    status = run("git", "status", "--porcelain", "--untracked-files=all", cwd=project).stdout
    changed = {line[3:] for line in status.splitlines()}
    assert changed == set(re.findall(r"^  (\S+)$", printed, re.MULTILINE))


@pytest.mark.parametrize(
    "name", ["Weather", "class", "jobs", "1st", "portfolio", "a" * 31, "database", "static", "api"]
)
def test_a_feature_that_cannot_be_is_refused_and_nothing_is_written(
    tmp_path: Path, name: str
) -> None:
    assert bake(tmp_path).returncode == 0
    project = tmp_path / "risk_desk"
    before = files_of(project)
    refused = run("make", "feature", f"NAME={name}", *SHARED, cwd=project)
    assert refused.returncode != 0
    assert name in refused.stdout
    assert files_of(project) == before


@pytest.mark.parametrize("models", ["", "--models"])
def test_a_feature_is_taken_back_if_the_service_cannot_be_imported(
    tmp_path: Path, models: str
) -> None:
    """Half of a feature would have kept the next `make feature` from writing the whole one."""
    assert bake(tmp_path).returncode == 0
    project = tmp_path / "risk_desk"
    urls = project / "config/urls.py"
    urls.write_text(f"import not_there\n{urls.read_text()}")
    before = files_of(project)
    command = ("make", "feature", "NAME=weather", f"ARGS={models}", *SHARED)
    refused = run(*command, cwd=project)
    assert refused.returncode != 0
    assert "No module named 'not_there'" in refused.stdout
    assert "failed, as you see above: nothing was written." in refused.stdout
    assert files_of(project) == before
    assert not (project / "risk_desk/weather").exists()

    urls.write_text(urls.read_text().removeprefix("import not_there\n"))
    assert run(*command, cwd=project).returncode == 0


def files_of(project: Path) -> dict[Path, bytes]:
    """Each file of a project that git would know."""
    found = [path for path in project.rglob("*") if path.is_file()]
    ignored = {"__pycache__", "var", ".ruff_cache"}
    return {path: path.read_bytes() for path in found if ignored.isdisjoint(path.parts)}


def test_env_example_lists_every_variable_and_no_other(
    with_example: Path, without_example: Path
) -> None:
    for project in (with_example, without_example):
        listed = re.findall(r"^# ([A-Z_]+)=", (project / ".env.example").read_text(), re.MULTILINE)
        code = "from config.env import Env; print(*(name.upper() for name in Env.model_fields))"
        read = run(BIN / "python", "-c", code, cwd=project)
        declared = read.stdout.split()
        assert len(listed) == len(set(listed))
        assert set(declared) - set(listed) == set(), "`config/env.py` has them, `.env.example` not"
        assert set(listed) - set(declared) == set(), "`.env.example` has them, `config/env.py` not"


def test_the_template_shows_the_environment_of_a_service_with_the_defaults(
    with_example: Path,
) -> None:
    page = Path("docs", "reference", "environment.md")
    written = (with_example / page).read_text()
    assert (ROOT / "{{cookiecutter.project_slug}}" / page).read_text() == written, (
        "out of date: make renew"
    )
