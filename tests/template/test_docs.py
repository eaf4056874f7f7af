"""What the pages of the generated project show can be typed: it passes all checks and it runs."""

import ast
import json
import re
import secrets
from pathlib import Path

import pytest

from .conftest import BIN, SHARED, bake, run
from .pages import BLOCK, DOCS, PROJECT, blocks, commands, follow

PACKAGE = "atlas_core"
# A recipe comes after those that it builds on.
RECIPES = [
    *("files-and-rows", "periodic-jobs", "admin-action", "mail", "call-another-service"),
    *("command", "webhook", "own-queue", "oauth", "numpy", "login"),
]
# What the recipes say to write in place of `SumParams` and `add_squares`.
SUBMITTED = [("notices", "Notice", "send_notice"), ("supply", "Place", "read_stock")]
PAGES = ["tutorial.md", "testing.md", *(f"recipes/{recipe}.md" for recipe in RECIPES)]
# Tests of what the recipes show. They run in the generated project.
TESTS = Path(__file__).parent / "recipes"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service in which somebody has followed all pages."""
    folder = tmp_path_factory.mktemp("docs")
    made = bake(folder, project_name="Atlas", package=PACKAGE, example="no")
    assert made.returncode == 0, made.stdout
    project = folder / "atlas"
    for page in PAGES:
        for typed, printed in commands(page):
            if typed.startswith("make"):
                ran = run(*typed.split(), *SHARED, cwd=project)
                assert ran.returncode == 0, ran.stdout
                if printed:
                    assert ran.stdout == printed.replace("PACKAGE", PACKAGE)
        assert follow(page, project, PACKAGE)

    package = project / PACKAGE
    for removed in (package / "readings/upstreams.py", project / "tests/test_readings.py"):
        removed.unlink()
    for folder in ("management", "management/commands"):
        (package / "supply" / folder / "__init__.py").touch()
    for feature, params, job in SUBMITTED:
        api = package / feature / "api.py"
        text = api.read_text().replace("SumParams", params).replace("add_squares", job)
        api.write_text(text)
        (project / f"tests/test_{feature}.py").unlink(missing_ok=True)
    for test in TESTS.glob("*.txt"):
        (project / "tests" / test.stem).write_text(test.read_text().replace("PACKAGE", PACKAGE))
    assert run("make", "fix", *SHARED, cwd=project).returncode == 0
    for command in (["makemigrations", "readings"], ["check"]):
        ran = run(BIN / "python", "manage.py", *command, cwd=project)
        assert ran.returncode == 0, ran.stdout
    assert run("make", "environment", *SHARED, cwd=project).returncode == 0
    return project


@pytest.mark.timeout(900)
def test_what_the_pages_show_passes_all_checks(project: Path) -> None:
    checked = run("make", "check", *SHARED, cwd=project)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.timeout(900)
def test_what_the_pages_show_runs_and_prints_what_they_say(project: Path) -> None:
    typed = [each for page in PAGES for each in commands(page) if each[0].startswith("curl")]
    assert len(typed) >= 5
    (project / "commands.json").write_text(json.dumps(typed))
    weather = ["weather", "weather_view", "weather_service"]
    supply = ["supply", "stock", "payments", "payments_queue"]
    files = ["typed", *weather, "orders", "matrix", "desk", *supply]
    arguments = " ".join(f"tests/test_{each}.py" for each in files)
    tested = run("make", "test", f"ARGS={arguments}", *SHARED, cwd=project)
    assert tested.returncode == 0, tested.stdout


def test_what_production_names_is_enough_to_start(without_example: Path, tmp_path: Path) -> None:
    """The files and the variables of the page, and nothing else; with its commands."""
    text = (DOCS / "production.md").read_text()
    plain = [block.text for block in blocks("production.md") if not block.language]
    files = next(each for each in plain if each.startswith("config/")).split()
    for name in files:
        path = without_example / name.replace("PACKAGE", PACKAGE)
        target = tmp_path / path.relative_to(without_example)
        target.parent.mkdir(parents=True, exist_ok=True)
        run("cp", "-r", path, target.parent, cwd=tmp_path)

    lines = next(each for each in plain if each.startswith("ALLOWED_HOSTS")).splitlines()
    variables = dict(line.split("=", 1) for line in lines)
    variables["SECRET_KEY"] = secrets.token_urlsafe(50)
    variables["METRICS_TOKEN"] = "of-the-scraper"
    command = ("manage.py", "check", "--deploy")
    checked = run(BIN / "python", *command, cwd=tmp_path, **variables)
    assert checked.returncode == 0, checked.stdout
    assert set(re.findall(r"W\d{3}", checked.stdout)) == set(re.findall(r"W\d{3}", text))

    for process in (PROJECT / "Procfile").read_text().splitlines():
        assert process.partition(": exec ")[2] in text


def test_each_recipe_that_names_files_is_followed() -> None:
    pages = {page.stem for page in (DOCS / "recipes").glob("*.md")}
    named = {page for page in pages if any(block.rest for block in blocks(f"recipes/{page}.md"))}
    assert named == set(RECIPES)


def test_each_setting_is_explained_on_a_page() -> None:
    """Or it is a variable of the environment, which has a page of its own."""
    settings = (PROJECT / "config/settings.py").read_text()
    given = set(re.findall(r"^    (\w+)=.*\benv\.", settings, re.MULTILINE))
    source = ast.parse((PROJECT / "offload/conf.py").read_text())
    (declared,) = (each for each in source.body if isinstance(each, ast.ClassDef))
    pages = [each.read_text() for each in DOCS.rglob("*.md") if each.name != "changelog.md"]
    for field in declared.body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            name = field.target.id
            # `name` or `name=...`, in a sentence or in code.
            is_explained = any(re.search(rf"[`(, ]{name}\b", page) for page in pages)
            assert name in given or is_explained, name


def test_no_page_of_a_service_links_out_of_it() -> None:
    for page in (PROJECT / "README.md", *DOCS.rglob("*.md")):
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).resolve().is_relative_to(PROJECT), (page, target)


def test_no_page_types_an_installer_that_a_service_may_lack() -> None:
    """uv brings no pip into `.venv`, and pip no uv: `requirements/install.py` finds either."""
    for page in (PROJECT / "README.md", *DOCS.rglob("*.md")):
        for _, text in BLOCK.findall(page.read_text()):
            assert not re.search(r"^(uv|pip) ", text, re.MULTILINE), (page, text)


def test_a_link_to_a_heading_finds_it() -> None:
    for page in (PROJECT / "README.md", *DOCS.rglob("*.md")):
        for target, heading in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", page.read_text()):
            if "://" not in target:
                assert heading in _anchors(page.parent / target if target else page), (
                    page,
                    heading,
                )


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and GitLab make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
