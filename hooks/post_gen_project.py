"""Removes what was not chosen, records the template's version, and prints the next step."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

UNWANTED = {
    "{{ cookiecutter.package }}/portfolio": {{ (cookiecutter.example == "no") | pprint }},
    "sandbox/markets.py": {{ (cookiecutter.example == "no") | pprint }},
    "tests/test_portfolio.py": {{ (cookiecutter.example == "no") | pprint }},
    "{{ cookiecutter.package }}/portfolio/static/portfolio/job_socket.js": {{ (cookiecutter.websockets == "no") | pprint }},
    "{{ cookiecutter.package }}/portfolio/static/portfolio/page_with_socket.js": {{ (cookiecutter.websockets == "no") | pprint }},
    "config/consumers.py": {{ (cookiecutter.websockets == "no") | pprint }},
    "offload/sockets": {{ (cookiecutter.websockets == "no") | pprint }},
    "docs/reference/websockets.md": {{ (cookiecutter.websockets == "no") | pprint }},
    "deploy/kubernetes": {{ (cookiecutter.deployment != "kubernetes") | pprint }},
    "offload_dev/prometheus_rule.py": {{ (cookiecutter.deployment != "kubernetes") | pprint }},
    "docs/kubernetes.md": {{ (cookiecutter.deployment != "kubernetes") | pprint }},
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


def remove_links():
    """Remove the rows of the documentation's tables that lead to a page which was not chosen.

    A sentence has no such link: without its line it would say something else.
    """
    for name, unwanted in UNWANTED.items():
        if unwanted and name.startswith("docs/"):
            row = re.compile(rf"^\|.*{Path(name).name}\).*\n", re.MULTILINE)
            for page in Path("docs").rglob("*.md"):
                text = page.read_text(encoding="utf-8")
                page.write_text(row.sub("", text), encoding="utf-8")


def merge_requirements(wanted):
    """Put what WebSockets need into the lists of requirements, in the order of `make lock`."""
    folder = Path("requirements")
    names, locked = folder / "websockets.in", folder / "websockets.txt"
    if wanted:
        with (folder / "base.in").open("a", encoding="utf-8") as base:
            base.write(names.read_text(encoding="utf-8"))
        for path in (folder / "base.txt", folder / "dev.txt"):
            text = path.read_text(encoding="utf-8") + locked.read_text(encoding="utf-8")
            entries = [entry.rstrip() for entry in re.split(r"\n(?=\w)", text)]
            entries.sort(key=lambda entry: re.split("[ =]", entry)[0])
            path.write_text("\n".join(entries) + "\n", encoding="utf-8")
    names.unlink()
    locked.unlink()


def record_origin():
    """Complete `.cruft.json`, so that `cruft update` works after plain cookiecutter, too.

    `cruft create` writes its own file. A template that was given as a relative path is recorded as
    an absolute one: only the caller's shell knows what it is relative to.
    """
    record = json.loads(Path(".cruft.json").read_text(encoding="utf-8"))
    # Cookiecutter 2.1 has no `_repo_dir`.
    folder = {{ cookiecutter._repo_dir | default(cookiecutter._template) | pprint }}
    origin = Path(os.environ.get("PWD", "."), folder)
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


def write_alarms_of_the_cluster(wanted):
    """The alarms are written once, for every kind of Prometheus."""
    if wanted:
        subprocess.run([sys.executable, "-m", "offload_dev.prometheus_rule"], check=True)


def write_list_of_the_standard():
    """`make check` tells by it which files of the standard were edited."""
    command = [sys.executable, "-m", "offload_dev.standard_files", "--write"]
    subprocess.run(command, check=True)


remove_unwanted()
remove_links()
merge_requirements({{ (cookiecutter.websockets == "yes") | pprint }})
write_environment_page()
write_alarms_of_the_cluster({{ (cookiecutter.deployment == "kubernetes") | pprint }})
write_list_of_the_standard()
# Last: the commands above leave some, too.
remove_caches()
record_origin()
# From where the caller's shell is, also with `--output-dir`.
folder = os.path.relpath(Path.cwd(), os.environ.get("PWD", Path.cwd().parent))
print(f"\nDone. Next:  cd {folder} && make dev\n")
