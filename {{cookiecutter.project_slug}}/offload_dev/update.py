"""`python -m offload_dev.update BRANCH`: brings a later version of the standard.

It is a commit on a new branch. With answers, such as `example=no`, it changes those that the
template was given, and leaves the version as it is: what they bring or take away is the commit.

The checkout has no changes of its own. What meets an edit of the service is committed with git's
conflict markers, or in a `*.rej` file, and named: whoever reviews the branch resolves it. So is
what the template changed in a file that the service has moved. A file that it has deleted stays
deleted.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

RECORD = Path(".cruft.json")
# An answer in the name of a file of the template.
VARIABLE = re.compile(r"\{\{ *cookiecutter\.(\w+) *\}\}")
MESSAGE = "Update the standard\n\ndocs/changelog.md says what changes, and what to do by hand."
# Where nobody has told git who commits, as on a machine of a CI.
AUTHOR = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "standard"), ("EMAIL", "standard@localhost"))
}


def main() -> int:
    """Update; returns the exit status, which is that of the first command that fails."""
    branch, *given = sys.argv[1:]
    record: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    _check_record(record)
    _check_checkout(branch)
    answers = dict(each.split("=", 1) for each in given)
    if not answers and _output("cruft", "check"):
        print("This service has the newest version of the standard.")  # noqa: T201
        return 0

    options, message = _update_of(record, answers)
    if status := _run("git", "switch", "--quiet", "--create", branch):
        return status
    if status := _update(options):
        _give_up(branch)
        return status
    _remove_compiled()
    _write_changes_of_moved_files(record)
    conflicts = _conflicts()
    if answers:
        _unpin(record)
    if answers and not conflicts:
        _renew_pages()
    environment = os.environ if _output("git", "config", "user.email") else os.environ | AUTHOR
    for command in (
        ("git", "add", "--all"),
        ("git", "commit", "--quiet", "--message", message),
    ):
        if status := _run(*command, environment=environment):
            _give_up(branch)
            return status

    for path in conflicts:
        print(f"{path}: resolve the conflict")  # noqa: T201
    print(f"The commit is on the branch {branch}: review it with `git show`.")  # noqa: T201
    return _run("git", "diff", "--shortstat", "HEAD~1")


def _check_record(record: dict[str, Any]) -> None:
    """End with a sentence where the record does not say which version of the template this is."""
    template = record["template"]
    is_address = "://" in template or (":" in template and not template.startswith("/"))
    if not is_address and not Path(template).is_dir():
        sys.exit(
            f"{RECORD} names the template by a folder that is not on this machine: {template}. "
            'Write the address of its repository there, as "template".'
        )
    if not record["commit"]:
        sys.exit(
            f"{RECORD} does not name the version of the template that made this service. Write "
            'the id of its commit there, as "commit".'
        )


def _check_checkout(branch: str) -> None:
    """End with a sentence, before anything changes, where the update could not be a commit."""
    if not _output("git", "ls-tree", "HEAD", str(RECORD)):
        sys.exit(
            "git has no commit of this service. Make one first: "
            'git init && git add -A && git commit -m "First version"'
        )
    if changes := _output("git", "status", "--porcelain"):
        sys.exit(f"Commit these changes first, or put them aside with `git stash -u`:\n{changes}")
    if _output("git", "branch", "--list", branch):
        sys.exit(
            f"There is a branch {branch} already. Merge it, or delete it with "
            f"`git branch -D {branch}`; or choose another name for the new one."
        )


def _update_of(record: dict[str, Any], answers: dict[str, str]) -> tuple[list[str], str]:
    """The options of `cruft update`, and the commit's message."""
    if not answers:
        return [], MESSAGE
    named = " ".join(f"{name}={answer}" for name, answer in answers.items())
    options = ["--checkout", record["commit"], "--variables-to-update", json.dumps(answers)]
    return options, f"Change the answers of the template: {named}"


def _update(options: list[str]) -> int:
    """Let cruft change the files. What it prints is shown if it fails."""
    command = ["cruft", "update", "--skip-apply-ask", *options]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        print(done.stdout)  # noqa: T201
    return done.returncode


def _remove_compiled() -> None:
    """Remove the folders of deleted files in which only compiled code is left, or nothing.

    Python would still import such a folder, as a package without content.
    """
    deleted = _output("git", "diff", "--name-only", "--diff-filter=D", "HEAD").splitlines()
    folders = {folder for path in deleted for folder in Path(path).parents if folder.is_dir()}
    # The deepest first: the folder above it may hold nothing else.
    for folder in sorted(folders, key=lambda each: len(each.parts), reverse=True):
        if {each.name for each in folder.iterdir()} <= {"__pycache__"}:
            shutil.rmtree(folder)


def _give_up(branch: str) -> None:
    """Go back to where the checkout was, or say how where files have changed."""
    if _output("git", "status", "--porcelain"):
        print(  # noqa: T201
            f"The branch {branch} has changes that are in no commit. To go back: "
            "`git switch --discard-changes -`, then `git clean -nd` shows the new files and "
            f"`git clean -fd` removes them, and `git branch -D {branch}`."
        )
    elif _run("git", "switch", "--quiet", "-") == 0:
        _run("git", "branch", "--quiet", "--delete", branch)


def _write_changes_of_moved_files(record: dict[str, Any]) -> None:
    """Write what the template changed in a file of another place, as a `*.rej` beside the file.

    cruft leaves out whatever is not where the template has it. The lines are the template's own,
    with its variables.
    """
    moved = _moved_files()
    versions = (record["commit"], json.loads(RECORD.read_text(encoding="utf-8"))["commit"])
    if not moved or versions[0] == versions[1]:
        return

    answers = record["context"]["cookiecutter"]
    with tempfile.TemporaryDirectory() as folder:
        if _run("git", "clone", "--quiet", "--bare", record["template"], folder):
            print("The template cannot be read again, for files that were moved.")  # noqa: T201
            return
        git = ("git", "-C", folder)
        for place in _output(*git, "diff", "--name-only", "--no-renames", *versions).splitlines():
            _, _, path = place.partition("/")
            path = VARIABLE.sub(lambda found: str(answers[found[1]]), path)
            if path in moved:
                changes = _output(*git, "diff", "--no-renames", *versions, "--", place)
                Path(f"{moved[path]}.rej").write_text(changes, encoding="utf-8")


def _moved_files() -> dict[str, str]:
    """Where a file was before the service, and not an update, has moved it, and where it is now."""
    updates = ("--invert-grep", "--grep=^Update the standard$", "--grep=^Change the answers of ")
    command = ("git", "log", "--relative", "--find-renames", "--diff-filter=R", "--name-status")
    moved: dict[str, str] = {}
    # The newest first: what a later commit moved on is known then.
    for line in _output(*command, "--format=", *updates).splitlines():
        _, before, after = line.split("\t")
        moved.setdefault(before, moved.get(after, after))
    return {
        before: after
        for before, after in moved.items()
        if Path(after).is_file() and not Path(before).exists()
    }


def _unpin(record: dict[str, Any]) -> None:
    """Let later updates not stay at the version that was asked for here."""
    text = RECORD.read_text(encoding="utf-8")
    wanted, pinned = json.dumps(record["checkout"]), json.dumps(record["commit"])
    text = text.replace(f'"checkout": {pinned}', f'"checkout": {wanted}')
    RECORD.write_text(text, encoding="utf-8")


def _renew_pages() -> None:
    """Write the pages that an update leaves out, since they are made from the service's code."""
    _run(sys.executable, "-m", "offload_dev.environment_page")
    _run(sys.executable, "-m", "offload_dev.openapi_document")


def _conflicts() -> list[str]:
    """The files with changes that met an edit of the service."""
    unmerged = ["git", "diff", "--name-only", "--diff-filter=U"]
    marked = subprocess.check_output(unmerged, text=True).splitlines()
    rejected = [path.as_posix() for path in Path().rglob("*.rej") if ".venv" not in path.parts]
    return sorted([*marked, *rejected])


def _output(*command: str) -> str:
    """What a command prints; nothing where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def _run(*command: str, environment: "os._Environ[str] | dict[str, str]" = os.environ) -> int:
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
