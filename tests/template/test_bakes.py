"""The generated projects pass their own tests, and say what is wrong with their environment.

That they pass their own checks, `test_readme.py` and `test_docs.py` say of larger ones: with
features and with what the pages show. `make options` checks them as they are.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from offload_dev.launcher.ports import first_free_port

from .conftest import BIN, SHARED, run

BAKES = ["with_example", "without_example"]


def _check(project: Path, folder: Path, tool: str) -> str:
    """What `make check` prints with tools that run this line of a shell."""
    tools = folder / "bin"
    tools.mkdir()
    for name in ("python", "ruff", "lint-imports", "mypy"):
        (tools / name).write_text(f"#!/bin/sh\n{tool}\n")
        (tools / name).chmod(0o755)
    installed = str(folder / ".installed")
    checked = run("make", "check", f"VENV={folder}", "-o", installed, cwd=project)
    assert checked.returncode != 0
    return checked.stdout


def test_the_last_lines_of_make_check_name_the_tools_that_found_faults(
    with_example: Path, tmp_path: Path
) -> None:
    """The tools print hundreds of lines, and the fault is above most of them."""
    printed = _check(with_example, tmp_path, 'case "$*" in check|*.lint*) exit 1;; esac')
    named = printed.partition("Faults were found by (see above):\n")[2].splitlines()
    assert named[:2] == ["  python -m offload_dev.lint .", "  ruff check"]
    assert not named[2].startswith(" ")


@pytest.mark.parametrize("status", [1, 2])
def test_make_check_says_why_mypy_cannot_go_on_where_the_service_cannot_start(
    with_example: Path, tmp_path: Path, status: int
) -> None:
    """Its plugin imports the service; then mypy asks to report a bug of its own (status 2)."""
    tool = (
        f'case "$0 $*" in */bin/mypy*) exit {status};; *manage.py*) echo InvalidJob; exit 1;; esac'
    )
    printed = _check(with_example, tmp_path, tool)
    assert ("if manage.py has failed above, mend that first" in printed) == (status == 2)
    assert printed.index("InvalidJob") < printed.index("\nmypy\n")


@pytest.mark.parametrize("name", BAKES)
@pytest.mark.timeout(900)
def test_a_bake_passes_its_own_tests(request: pytest.FixtureRequest, name: str) -> None:
    tested = run("make", "test", *SHARED, cwd=request.getfixturevalue(name))
    print(tested.stdout[-2000:])
    assert tested.returncode == 0, tested.stdout


def test_make_fix_breaks_a_long_line_and_reports_no_fault(with_example: Path) -> None:
    module = with_example / "benchmarks" / "long_line.py"
    module.write_text(
        '"""A line that the formatter breaks."""\n\nNAMES = [' + '"name", ' * 20 + "]\n"
    )
    try:
        fixed = run("make", "fix", *SHARED, cwd=with_example)
        assert "long_line.py" not in fixed.stdout, "no fault is left to report"
        assert max(map(len, module.read_text().splitlines())) <= 100
    finally:
        module.unlink()


def _python(project: Path, code: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return run(sys.executable, "-c", code, cwd=project, **environment)


def test_all_faults_of_the_environment_are_told_at_once(with_example: Path) -> None:
    faulty = {"PORT": "99999", "LOG_LEVEL": "LOUD", "ALLOWED_HOSTS": "risk.example.com"}
    told = _python(with_example, "import config.settings", **faulty)
    assert told.returncode == 1
    assert "PORT" in told.stdout
    assert "LOG_LEVEL" in told.stdout
    assert told.stdout.count("  - ") == 2, "what follows from a fault is no fault of its own"
    assert "Traceback" not in told.stdout


def test_production_without_a_secret_is_refused(with_example: Path) -> None:
    told = _python(with_example, "import config.settings", ALLOWED_HOSTS="risk.example.com")
    assert told.returncode == 1
    assert "SECRET_KEY is missing" in told.stdout


def test_a_misspelt_name_in_env_is_refused_and_the_right_one_named(with_example: Path) -> None:
    (with_example / ".env").write_text("DATABSE_URL=sqlite:///x\n")
    try:
        told = _python(with_example, "import config.settings")
    finally:
        (with_example / ".env").unlink()
    assert told.returncode == 1
    assert "did you mean DATABASE_URL?" in told.stdout


def test_a_taken_port_is_one_sentence(with_example: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        told = run(sys.executable, "-m", "offload_dev.launcher", "dev", cwd=with_example, PORT=port)
    assert told.returncode == 1
    assert f"Port {port} is taken" in told.stdout
    assert "Traceback" not in told.stdout


@pytest.mark.parametrize(
    ("variable", "url", "sentence"),
    [
        ("REDIS_URL", "redis://127.0.0.1:1/0", "No Redis answers at REDIS_URL"),
        (
            "DATABASE_URL",
            "postgres://u:hidden@127.0.0.1:1/x",
            "The database of DATABASE_URL does not answer (conn",
        ),
    ],
)
def test_what_does_not_answer_is_one_sentence(
    with_example: Path, variable: str, url: str, sentence: str
) -> None:
    told = run(
        sys.executable,
        "-m",
        "offload_dev.launcher",
        "dev",
        cwd=with_example,
        PORT=str(first_free_port(5)),
        **{variable: url},
    )
    assert told.returncode == 1
    assert sentence in told.stdout
    assert "Traceback" not in told.stdout
    assert "hidden" not in told.stdout


def test_a_process_that_starts_without_its_database_says_why(
    with_example: Path, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "offload.serving", "--drain", "0"],
        cwd=with_example,
        env=os.environ
        | {"DATABASE_URL": f"sqlite:///{tmp_path}/missing/x", "PORT": str(first_free_port(4))},
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        assert any("unable to open database file" in line for line in process.stderr)
        process.terminate()


def test_a_python_of_another_version_is_not_silently_left_unused(
    with_example: Path, tmp_path: Path
) -> None:
    other = tmp_path / "python3.99"
    other.write_text("#!/bin/sh\necho 3.99\n")
    other.chmod(0o755)
    for python, refused in ((other, True), (BIN / "python", False)):
        told = run("make", "--dry-run", "install", f"PYTHON={python}", *SHARED, cwd=with_example)
        assert (told.returncode != 0) is refused, told.stdout
        assert ("add VENV=.venv/3.99 to keep both" in told.stdout) is refused


def test_a_python_that_is_not_installed_is_named(with_example: Path) -> None:
    """A shim of pyenv is there for each version that any folder has, and fails in the others."""
    told = run("make", "--dry-run", "install", "PYTHON=python3.99", *SHARED, cwd=with_example)
    assert told.returncode != 0
    assert "PYTHON=python3.99 does not run" in told.stdout


def test_a_lock_keeps_the_versions_and_an_upgrade_renews_them(with_example: Path) -> None:
    for target, renews in (("lock", False), ("upgrade", True)):
        told = run("make", "--dry-run", target, *SHARED, cwd=with_example)
        assert "pip compile" in told.stdout
        assert ("--upgrade" in told.stdout) is renews


def test_the_openapi_document_describes_jobs_and_results(with_example: Path) -> None:
    code = (
        "import json, config.asgi, config.urls; "
        "print(json.dumps(config.urls.api.get_openapi_schema(), default=str))"
    )
    document = json.loads(_python(with_example, code).stdout)
    assert "/api/jobs/{job_id}/events" in document["paths"]
    assert "/api/portfolio/risk" in document["paths"]
