"""A service that a team works on takes a later version of the standard over."""

import filecmp
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import ROOT, SHARED, run

GIT = ("git", "-c", "user.name=Ada", "-c", "user.email=ada@example.com")
# Earlier versions, each with what was new in it.
COMMITS = {
    "bdcd87f": "cruft merges",
    "f356126": "limits of the server",
    "54d49dc": "documentation that travels",
}

# What the team has edited.
OURS = (
    *("config/settings.py", "config/urls.py", "requirements/base.in", "README.md"),
    *("risk_desk/portfolio/api.py", ".github/workflows/ci.yml"),
)


def commit(service: Path, message: str) -> None:
    for command in (("add", "--all"), ("commit", "--quiet", "--message", message)):
        assert run(*GIT, *command, cwd=service).returncode == 0


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text, f"{file} has no {before!r}"
    file.write_text(text.replace(before, after, 1))


def edit_as_teams_do(service: Path) -> None:
    """An app, its settings and routes; the feature, the README, CI and a dependency."""
    edit(
        service / "config/settings.py",
        "INSTALLED_APPS = [\n",
        "INSTALLED_APPS = [\n    'risk_desk.orders',\n",
    )
    for name in ("config/settings.py", "config/urls.py"):
        file = service / name
        file.write_text(f"{file.read_text()}\n# ours\n")
    edit(service / "risk_desk/portfolio/api.py", "Value at risk: sources", "Ours: sources")
    edit(service / "README.md", "\n\n", "\n\nOurs: the desk of the blue team.\n\n")
    with (service / "requirements/base.in").open("a") as requirements:
        requirements.write("ours~=1.0\n")
    workflow = service / ".github/workflows/ci.yml"
    workflow.write_text(
        workflow.read_text().replace("make check\n", "make check\n      - run: echo ours\n")
    )
    app = service / "risk_desk/orders"
    app.mkdir()
    (app / "__init__.py").touch()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clone = tmp_path_factory.mktemp("template") / "template"
    subprocess.run(["git", "clone", "--quiet", "--shared", ROOT, clone], check=True)
    return clone


@pytest.fixture(scope="module")
def newest(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new service of the newest version."""
    folder = tmp_path_factory.mktemp("newest")
    made = run("cruft", "create", template, "--no-input", cwd=folder)
    assert made.returncode == 0, made.stdout
    return folder / "risk_desk"


@pytest.mark.parametrize("version", COMMITS, ids=COMMITS.get)
def test_an_edited_service_takes_the_newest_version_over(
    template: Path, newest: Path, tmp_path: Path, version: str
) -> None:
    if run("git", "cat-file", "-e", version, cwd=template).returncode:
        pytest.skip(f"THIS CLONE HAS NO {version}: an update from it was not tried")
    made = run("cruft", "create", template, "--checkout", version, "--no-input", cwd=tmp_path)
    assert made.returncode == 0, made.stdout
    service = tmp_path / "risk_desk"
    run("git", "init", "--quiet", cwd=service)
    commit(service, "the first version")
    edit_as_teams_do(service)
    commit(service, "ours")
    # An old service has no such command yet, so the new one's is used.
    shutil.copy(newest / "offload_dev/update.py", tmp_path)

    updated = run("python", tmp_path / "update.py", "standard", cwd=service)

    assert updated.returncode == 0, updated.stdout
    # That is cruft's word for a newer version.
    assert "FAILURE" not in updated.stdout
    conflicts = [line for line in updated.stdout.splitlines() if "resolve the conflict" in line]
    # A step of the team's stands where the jobs of the CI were written anew.
    assert conflicts in ([], [".github/workflows/ci.yml: resolve the conflict"])
    head = run("git", "log", "-1", "--format=%s %D", cwd=service).stdout
    assert head.strip() == "Update the standard HEAD -> standard"
    marked = run("git", "grep", "-lE", "^(<{7}|>{7}) ", cwd=service).stdout.split()
    assert marked == [line.partition(":")[0] for line in conflicts]
    ours = run("git", "grep", "-liw", "ours", "--", *OURS, cwd=service).stdout.split()
    assert sorted(ours) == sorted(OURS)
    for folder in ("offload", "offload_dev", "benchmarks"):
        assert_same(service / folder, newest / folder)
    assert run("python", "-m", "offload_dev.standard_files", cwd=service).returncode == 0
    assert run("python", "manage.py", "check", cwd=service).returncode == 0

    again = run("python", tmp_path / "update.py", "later", cwd=service)
    assert (again.returncode, again.stdout) == (
        0,
        "This service has the newest version of the standard.\n",
    )


@pytest.mark.timeout(900)
def test_what_the_template_changed_in_a_moved_file_is_named(
    template: Path, newest: Path, tmp_path: Path
) -> None:
    """cruft leaves it out: a service whose settings are in a folder would not hear of a new one."""
    later = tmp_path / "template"
    subprocess.run(["git", "clone", "--quiet", "--shared", template, later], check=True)
    service = tmp_path / "risk_desk"
    shutil.copytree(newest, service)
    edit_record(service, template=str(later))
    run("git", "init", "--quiet", cwd=service)
    commit(service, "the first version")
    (service / "config/settings").mkdir()
    (service / "config/settings.py").rename(service / "config/settings/base.py")
    (service / "risk_desk/portfolio/page.py").rename(service / "risk_desk/portfolio/first.py")
    (service / "docs/client.md").rename(service / "docs/unchanged.md")
    commit(service, "ours")
    (service / "risk_desk/portfolio/first.py").rename(service / "risk_desk/portfolio/pages.py")
    (service / "docs/testing.md").unlink()
    commit(service, "ours, later")
    project = later / "{{cookiecutter.project_slug}}"
    feature = "{{cookiecutter.package}}/portfolio"
    for place in ("config/settings.py", f"{feature}/page.py", "docs/testing.md"):
        with (project / place).open("a") as file:
            file.write("# new\n")
    commit(later, "new")

    updated = run("python", "-m", "offload_dev.update", "standard", cwd=service)

    assert updated.returncode == 0, updated.stdout
    named = [line for line in updated.stdout.splitlines() if "resolve the conflict" in line]
    places = ["config/settings/base.py.rej", "risk_desk/portfolio/pages.py.rej"]
    assert named == [f"{place}: resolve the conflict" for place in places]
    for place in places:
        assert "+# new\n" in (service / place).read_text()
    assert run("git", "status", "--porcelain", cwd=service).stdout == ""


def with_example_removed(newest: Path, service: Path, *, feature: bool) -> str:
    """A service without its example; returns what the command printed."""
    shutil.copytree(newest, service)
    run("git", "init", "--quiet", cwd=service)
    commit(service, "the first version")
    if feature:
        laid_out = run("python", "-m", "offload_dev.feature", "risk_desk", "weather", cwd=service)
        assert laid_out.returncode == 0, laid_out.stdout
        commit(service, "ours")
    for package in ("risk_desk/portfolio", "risk_desk/portfolio/templates/portfolio"):
        compiled = service / package / "__pycache__"
        compiled.mkdir(exist_ok=True)
        (compiled / "api.cpython-311.pyc").touch()
    removed = run("make", "remove-example", *SHARED, cwd=service)
    assert removed.returncode == 0, removed.stdout
    assert run("git", "status", "--porcelain", cwd=service).stdout == ""
    return removed.stdout


def test_the_example_is_taken_away_without_a_trace(
    template: Path, newest: Path, tmp_path: Path
) -> None:
    service = tmp_path / "risk_desk"
    printed = with_example_removed(newest, service, feature=False)
    assert "resolve the conflict" not in printed
    assert "on the branch remove-example: review it" in printed
    # That is of the hooks of the template, about folders that cruft has removed again.
    assert "make dev" not in printed

    folder = tmp_path / "without"
    answers = ("--extra-context", '{"example": "no"}', "--output-dir", folder)
    made = run("cruft", "create", template, "--no-input", *answers, cwd=tmp_path)
    assert made.returncode == 0, made.stdout
    for each in (".git", "var"):
        shutil.rmtree(service / each, ignore_errors=True)
    assert_same(service, folder / "risk_desk")


def test_an_answer_that_is_changed_later_gives_what_it_gives_at_first(
    template: Path, newest: Path, tmp_path: Path
) -> None:
    service = tmp_path / "risk_desk"
    shutil.copytree(newest, service)
    run("git", "init", "--quiet", cwd=service)
    commit(service, "the first version")
    command = re.findall(
        "`make (update [^`]*deployment=kubernetes)`",
        (service / "docs/production.md").read_text().replace("\n", " "),
    )
    assert len(command) == 1
    updated = run("make", *command[0].split(), *SHARED, cwd=service)
    assert updated.returncode == 0, updated.stdout

    folder = tmp_path / "kubernetes"
    answers = ("--extra-context", '{"deployment": "kubernetes"}', "--output-dir", folder)
    made = run("cruft", "create", template, "--no-input", *answers, cwd=tmp_path)
    assert made.returncode == 0, made.stdout
    for each in (".git", "var"):
        shutil.rmtree(service / each, ignore_errors=True)
    assert_same(service, folder / "risk_desk")


def test_what_stands_beside_the_example_is_a_conflict_and_is_kept(
    newest: Path, tmp_path: Path
) -> None:
    """The lines of a team's first feature stand beside those of the example."""
    service = tmp_path / "risk_desk"
    printed = with_example_removed(newest, service, feature=True)
    conflicts = re.findall("(.*): resolve the conflict", printed)
    places = [".env.example", "config/env.py", "config/settings.py", "config/urls.py"]
    assert conflicts == places
    assert not (service / "risk_desk/portfolio").exists()
    for place in places:
        text = (service / place).read_text()
        assert "weather" in text.lower()


def not_removed(service: Path) -> str:
    """What `make remove-example` prints where it cannot work, and leaves everything as it was."""

    def state() -> list[str]:
        asked = (("status", "--porcelain"), ("branch", "--list"), ("rev-parse", "HEAD"))
        return [run("git", *each, cwd=service).stdout for each in asked]

    before = state()
    removed = run("make", "remove-example", *SHARED, cwd=service)
    assert removed.returncode != 0
    assert state() == before
    return removed.stdout


def test_an_update_that_could_be_no_commit_says_why_and_changes_nothing(
    newest: Path, tmp_path: Path
) -> None:
    # A folder that an outer repository ignores, as that of `make demo`.
    run("git", "init", "--quiet", cwd=tmp_path)
    (tmp_path / ".gitignore").write_text("*")
    service = tmp_path / "risk_desk"
    shutil.copytree(newest, service)
    assert "Make one first: git init" in not_removed(service)

    run("git", "init", "--quiet", cwd=service)
    assert "Make one first: git init" in not_removed(service)

    commit(service, "the first version")
    (service / "ours.txt").touch()
    assert "Commit these changes first" in (printed := not_removed(service))
    assert "ours.txt" in printed

    commit(service, "ours")
    run("git", "branch", "remove-example", cwd=service)
    assert "There is a branch remove-example already" in not_removed(service)

    run("git", "branch", "--delete", "remove-example", cwd=service)
    edit_record(service, commit="0" * 40)
    commit(service, "a version that the template does not have")
    # That is cruft's own error.
    assert "0000000" in not_removed(service)

    # A service of a template that was no repository.
    edit_record(service, commit=None)
    commit(service, "no version")
    assert "does not name the version of the template" in not_removed(service)


def edit_record(service: Path, **changes: str | None) -> None:
    record = service / ".cruft.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | changes))


def test_a_template_that_is_not_on_this_machine_is_named(newest: Path, tmp_path: Path) -> None:
    service = tmp_path / "service"
    shutil.copytree(newest, service)
    record = service / ".cruft.json"
    there = json.loads(record.read_text())["template"]
    record.write_text(record.read_text().replace(there, "/home/ada/template"))
    updated = run("python", "-m", "offload_dev.update", "standard", cwd=service)
    assert updated.returncode == 1
    assert "a folder that is not on this machine: /home/ada/template" in updated.stdout
    assert "Traceback" not in updated.stdout


def assert_same(one: Path, other: Path) -> None:
    compared = filecmp.dircmp(one, other, ignore=["__pycache__"])
    waiting = [compared]
    while waiting:
        each = waiting.pop()
        assert (each.left_only, each.right_only, each.diff_files) == ([], [], [])
        waiting.extend(each.subdirs.values())


def test_an_edited_file_of_the_standard_is_named(newest: Path, tmp_path: Path) -> None:
    service = tmp_path / "service"
    shutil.copytree(newest, service)
    check = ("python", "-m", "offload_dev.standard_files")
    assert run(*check, cwd=service).returncode == 0

    (service / "offload/own.py").touch()
    (service / "offload/logs.py").unlink()
    with (service / "offload/conf.py").open("a") as file:
        file.write("# ours\n")
    failed = run(*check, cwd=service)
    assert failed.returncode == 1
    assert failed.stdout.splitlines()[:3] == [
        "offload/conf.py: it was edited",
        "offload/logs.py: it is missing",
        "offload/own.py: it does not belong to the standard",
    ]

    edited = json.dumps(["offload/conf.py", "offload/logs.py", "offload/own.py"])
    with (service / "pyproject.toml").open("a") as settings:
        settings.write(f"\n[tool.offload]\nedited = {edited}\n")
    assert run(*check, cwd=service).returncode == 0

    shutil.copytree(newest / "offload", service / "offload", dirs_exist_ok=True)
    assert "offload/logs.py: it is named as edited, and is not" in run(*check, cwd=service).stdout
