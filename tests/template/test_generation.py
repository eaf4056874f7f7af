"""Generating a project is fast, works offline, and refuses bad answers without leaving files."""

import json
import os
import re
import shutil
import subprocess
import time
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from .conftest import BIN, ROOT, SHARED, bake, run

HOSTILE = {
    "project_name": "Müller's 100% {Desk}",
    "project_slug": "muellers_desk",
    "description": "Çâ coûte 5 % {more} or 'less' 🚀 # not a comment",
    "author": "O'Brien & Søn <team@example.com>",
}


def test_hostile_but_legal_answers_give_a_project_that_starts(tmp_path: Path) -> None:
    made = bake(tmp_path, **HOSTILE)
    assert made.returncode == 0, made.stdout
    project = tmp_path / "muellers_desk"
    assert (
        tomllib.loads((project / "pyproject.toml").read_text())["project"]["description"]
        == HOSTILE["description"]
    )
    checked = run(BIN / "python", "manage.py", "check", cwd=project)
    assert checked.returncode == 0, checked.stdout
    styled = run("ruff", "check", cwd=project), run("ruff", "format", "--check", cwd=project)
    assert [each.returncode for each in styled] == [0, 0], styled


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"project_slug": "risk-desk"}, "lower-case letters"),
        ({"project_slug": "../escape"}, "lower-case letters"),
        # Neither Docker nor Kubernetes takes such a name.
        ({"project_slug": "risk_"}, "single underscores"),
        ({"project_slug": "risk" * 12}, "at most 45 letters"),
        ({"package": "class"}, "word of Python's own"),
        ({"package": "config"}, "hide a module"),
        ({"package": "offload"}, "hide a module"),
        ({"package": "offload_dev"}, "hide a module"),
        ({"package": "celery"}, "hide a module"),
        ({"package": "email"}, "hide a module"),
        # git would ignore the first of these folders; the second one is there already.
        ({"package": "build"}, "hide a module"),
        ({"package": "deploy"}, "hide a module"),
        ({"description": 'says "hello"'}, "double quotes"),
        ({"description": "two\nlines"}, "line breaks"),
        ({"description": "two\u2028lines"}, "line breaks"),
        ({"author": "back\\slash"}, "backslashes"),
        ({"project_name": " ", "project_slug": "risk_desk"}, "must not be empty"),
    ],
)
def test_a_bad_answer_is_refused_with_the_rule_and_leaves_nothing(
    tmp_path: Path, answer: dict[str, str], says: str
) -> None:
    made = bake(tmp_path, **answer)
    assert made.returncode != 0
    assert says in made.stdout
    assert "such as" in made.stdout
    assert list(tmp_path.iterdir()) == []


def test_no_package_hides_a_library() -> None:
    """A package named `yarl` starts, and each import of it by a library gives the service's own."""
    requirements = ROOT / "{{cookiecutter.project_slug}}" / "requirements"
    locked = {
        _normalized(name)
        for path in requirements.glob("*.txt")
        if path.name in ("base.txt", "dev.txt", "websockets.txt", "tracing.txt")
        for name in re.findall(r"^([\w.-]+)==", path.read_text(), re.MULTILINE)
    }
    modules = {
        module
        for module, names in packages_distributions().items()
        if locked.intersection(map(_normalized, names)) and re.fullmatch("[a-z][a-z0-9_]*", module)
    }
    hook = (ROOT / "hooks/pre_gen_project.py").read_text()
    refused = set(re.search('LIBRARIES = """(.*?)"""', hook, re.DOTALL)[1].split())
    assert sorted(modules - refused) == []


def _normalized(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def test_the_longest_names_pass_the_checks(tmp_path: Path) -> None:
    made = bake(tmp_path, project_name="risk " * 40, websockets="yes")
    assert made.returncode == 0, made.stdout
    (project,) = tmp_path.iterdir()
    # Nine words and the underscores between them.
    assert project.name == "_".join(["risk"] * 9)
    feature = "a" * 30
    for command in (
        (BIN / "python", "-m", "offload_dev.feature", project.name, feature, "--models"),
        ("ruff", "check"),
        ("ruff", "format", "--check"),
    ):
        done = run(*command, cwd=project)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["true", "null", "on"])
def test_a_name_that_yaml_reads_as_another_value_stays_a_name(tmp_path: Path, name: str) -> None:
    made = bake(tmp_path, project_slug=name, package="risk_desk", deployment="kubernetes")
    assert made.returncode == 0, made.stdout
    project = tmp_path / name
    compose = yaml.safe_load((project / "compose.yaml").read_text())
    assert compose["name"] == name
    overlay = project / "deploy/kubernetes/overlays/production/kustomization.yaml"
    assert yaml.safe_load(overlay.read_text())["namespace"] == name


def test_generating_is_fast_and_needs_no_network(tmp_path: Path) -> None:
    """In a network namespace of its own where the machine allows that; else at least without
    proxies and indexes.
    """
    alone = ["unshare", "--net"] if os.geteuid() == 0 else []
    started = time.monotonic()
    made = run(*alone, "cookiecutter", ROOT, "--no-input", "--output-dir", tmp_path, cwd=tmp_path)
    print(f"generated in {time.monotonic() - started:.2f} s")
    assert made.returncode == 0, made.stdout
    assert "make dev" in made.stdout


def test_it_records_the_template_and_the_answers_for_cruft(with_example: Path) -> None:
    record = json.loads((with_example / ".cruft.json").read_text())
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True).strip()
    assert record["commit"] == head
    assert record["context"]["cookiecutter"]["project_name"] == "Risk Desk"
    assert record["context"]["cookiecutter"]["__version"]
    same = run("cruft", "check", cwd=with_example)
    assert "SUCCESS" in same.stdout, same.stdout


def test_a_template_named_by_a_relative_path_is_found_again(tmp_path: Path) -> None:
    made = run("cookiecutter", ".", "--no-input", "--output-dir", tmp_path, cwd=ROOT, PWD=str(ROOT))
    assert made.returncode == 0, made.stdout
    assert json.loads((tmp_path / "risk_desk" / ".cruft.json").read_text())["template"] == str(ROOT)


def test_cruft_creates_a_service_and_brings_it_the_next_version_of_the_standard(
    tmp_path: Path,
) -> None:
    template, git = (
        tmp_path / "template",
        ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.com"],
    )

    def commit(folder: Path) -> None:
        for command in (
            ["init", "--quiet"],
            ["add", "--all"],
            ["commit", "--quiet", "--message", "a version"],
        ):
            assert run(*git, *command, cwd=folder).returncode == 0

    for name in ("cookiecutter.json", "hooks", "{{cookiecutter.project_slug}}"):
        template.mkdir(exist_ok=True)
        run("cp", "-r", ROOT / name, template, cwd=tmp_path)
    shutil.copy(ROOT / ".gitignore", template)
    commit(template)
    made = run("cruft", "create", template, "--no-input", cwd=tmp_path)
    assert made.returncode == 0, made.stdout
    service = tmp_path / "risk_desk"
    # The team edits a file that the next version changes, too, in another place.
    urls = service / "config/urls.py"
    urls.write_text(urls.read_text() + "# the team's own line\n")
    commit(service)
    for name in ("offload/__init__.py", "config/urls.py"):
        file = template / "{{cookiecutter.project_slug}}" / name
        file.write_text("# the next version\n" + file.read_text())
    commit(template)

    updated = run("cruft", "update", "--skip-apply-ask", cwd=service)

    assert updated.returncode == 0, updated.stdout
    changed = run("git", "diff", "--name-only", "HEAD", cwd=service).stdout.split()
    assert changed == [
        *(".cruft.json", "config/urls.py", "offload/__init__.py"),
        "offload_dev/standard_files.txt",
    ]
    assert urls.read_text().startswith("# the next version\n")
    assert urls.read_text().endswith("# the team's own line\n")
    assert list(service.rglob("*.rej")) == [], updated.stdout


def test_what_was_not_asked_for_is_not_there(without_example: Path) -> None:
    there = {path.name for path in without_example.iterdir()}
    assert ".github" not in there
    assert ".gitlab-ci.yml" in there
    text = "".join(
        path.read_text() for path in without_example.rglob("*.py") if "offload" not in path.parts
    )
    assert "portfolio" not in text
    assert "All rights reserved" in (without_example / "LICENSE").read_text()


def test_a_page_without_what_was_not_chosen_has_all_its_sentences(
    without_example: Path,
) -> None:
    """A row that leads to a missing page goes, and a line of a sentence stays."""
    template = ROOT / "{{cookiecutter.project_slug}}"
    removed = []
    for page in (template / "docs").rglob("*.md"):
        made = without_example / page.relative_to(template)
        # The answers decide which variables there are.
        if made.exists() and made.name != "environment.md":
            lines = made.read_text().splitlines()
            removed += [line for line in page.read_text().splitlines() if line not in lines]
    assert len(removed) >= 3
    assert [line for line in removed if not line.startswith("| ")] == []


def test_no_page_leads_to_a_file_that_was_not_chosen(without_example: Path) -> None:
    for page in without_example.rglob("*.md"):
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), (page, target)


def test_nothing_is_left_to_render(tmp_path: Path) -> None:
    bake(tmp_path)
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.suffix not in (".html", ".json"):
            assert not re.search(r"\{[{%] *cookiecutter\.", path.read_text()), path


def test_the_page_for_assistants_is_short_enough_to_be_read_each_time(with_example: Path) -> None:
    assert len((with_example / "AGENTS.md").read_text().splitlines()) <= 80


def test_offload_is_the_same_everywhere_and_holds_no_jinja(
    with_example: Path, without_example: Path
) -> None:
    different = run(
        "diff",
        "-r",
        "-x",
        "__pycache__",
        with_example / "offload",
        without_example / "offload",
        cwd=ROOT,
    )
    assert different.stdout == ""
    for path in (with_example / "offload").rglob("*.py"):
        assert "{{" not in path.read_text(), path


def test_caches_in_the_template_are_not_carried_along(tmp_path: Path) -> None:
    copy = tmp_path / "template"
    copy.mkdir()
    for name in ("cookiecutter.json", "hooks", "{{cookiecutter.project_slug}}"):
        run("cp", "-r", ROOT / name, copy, cwd=tmp_path)
    inner = copy / "{{cookiecutter.project_slug}}"
    for folder in (
        "offload/jobs/__pycache__",
        "config/__pycache__",
        ".mypy_cache",
        ".ruff_cache/0.1",
    ):
        (inner / folder).mkdir(parents=True, exist_ok=True)
        (inner / folder / "left.pyc").write_bytes(b"\x89{{ nothing }}\x00\xff")
    made = run("cookiecutter", copy, "--no-input", "--output-dir", tmp_path, cwd=tmp_path)
    assert made.returncode == 0, made.stdout
    assert list((tmp_path / "risk_desk").rglob("left.pyc")) == []


def test_the_container_for_development_installs_with_a_target_of_the_makefile(
    with_example: Path,
) -> None:
    lines = (with_example / ".devcontainer/devcontainer.json").read_text().splitlines()
    settings = json.loads("\n".join(line for line in lines if not line.strip().startswith("//")))
    assert settings["name"] == "Risk Desk"
    make, target = settings["postCreateCommand"].split()
    planned = run(make, "--dry-run", target, *SHARED, cwd=with_example)
    assert planned.returncode == 0, planned.stdout


def test_the_next_step_is_named_from_where_the_caller_is(tmp_path: Path) -> None:
    here = tmp_path / "template"
    here.mkdir()
    command = ("cookiecutter", ROOT, "--no-input", "--output-dir", "..")
    made = run(*command, cwd=here, PWD=str(here))
    assert "Done. Next:  cd ../risk_desk && make dev" in made.stdout


@pytest.mark.parametrize(
    ("ci", "words"),
    [("github", "pull request"), ("gitlab", "merge request"), ("none", None)],
)
def test_the_pages_speak_of_the_ci_that_was_chosen(
    tmp_path: Path, ci: str, words: str | None
) -> None:
    assert bake(tmp_path, ci=ci, description="No word of it.").returncode == 0
    project = tmp_path / "risk_desk"
    readme = (project / "README.md").read_text()
    assert [each for each in ("pull request", "merge request") if each in readme] == (
        [words] if words else []
    )
    # The run of the update needs it, and no other page tells.
    assert ("UPDATE_TOKEN" in readme) is bool(words)
    assert ("CI runs all four" in (project / "SECURITY.md").read_text()) is bool(words)
