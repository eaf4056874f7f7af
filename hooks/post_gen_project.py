"""Removes what was not chosen, records the template's version, and prints the next step."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

UNWANTED = {
    "{{ cookiecutter.package }}/portfolio": {{ (cookiecutter.example == "no") | pprint }},
    "sandbox/markets.py": {{ (cookiecutter.example == "no") | pprint }},
    "tests/test_portfolio.py": {{ (cookiecutter.example == "no") | pprint }},
    ".github": {{ (cookiecutter.ci != "github") | pprint }},
    ".gitlab-ci.yml": {{ (cookiecutter.ci != "gitlab") | pprint }},
}

# Answers of cookiecutter itself that are true on this machine only.
OF_THIS_MACHINE = ("_output_dir", "_repo_dir", "_checkout")


def remove_unwanted():
    for name, unwanted in UNWANTED.items():
        path = Path(name)
        if unwanted and path.is_dir():
            shutil.rmtree(path)
        elif unwanted:
            path.unlink(missing_ok=True)


def record_origin():
    """Complete `.cruft.json`, so that `cruft update` works after plain cookiecutter, too.

    `cruft create` writes its own file. A template that was given as a relative path is recorded as
    an absolute one: only the caller's shell knows what it is relative to.
    """
    record = json.loads(Path(".cruft.json").read_text(encoding="utf-8"))
    origin = Path(os.environ.get("PWD", "."), {{ cookiecutter._repo_dir | default(".") | pprint }})
    if (origin / "cookiecutter.json").is_file():
        command = ["git", "-C", origin, "rev-parse", "HEAD"]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        record["commit"] = found.stdout.strip() or None
        if Path(os.environ.get("PWD", "."), record["template"]).is_dir():
            record["template"] = str(origin.resolve())

    answers = record["context"]["cookiecutter"]
    for name in OF_THIS_MACHINE:
        answers.pop(name, None)
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    Path(".cruft.json").write_text(text, encoding="utf-8")


def remove_caches():
    """Remove what tools have left in the template's folder, where its packages are developed."""
    for pattern in ("**/__pycache__", "**/.*_cache"):
        for path in Path().glob(pattern):
            shutil.rmtree(path)


def write_environment_page():
    """The answers decide which variables there are."""
    subprocess.run([sys.executable, "-m", "offload_dev.environment_page"], check=True)


def write_list_of_the_standard():
    """`make check` tells by it which files of the standard were edited."""
    command = [sys.executable, "-m", "offload_dev.standard_files", "--write"]
    subprocess.run(command, check=True)


remove_unwanted()
write_environment_page()
remove_caches()
write_list_of_the_standard()
record_origin()
print("\nDone. Next:  cd {{ cookiecutter.project_slug }} && make dev\n")
