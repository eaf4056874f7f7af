"""`python -m offload_dev.update BRANCH`: brings a later version of the standard, as a commit on a
new branch.

The checkout has no changes of its own. What meets an edit of the service is committed with git's
conflict markers, or in a `*.rej` file, and named: whoever reviews the branch resolves it.
"""

import os
import subprocess
import sys
from pathlib import Path

MESSAGE = "Update the standard\n\ndocs/changelog.md says what changes, and what to do by hand."
# Where nobody has told git who commits, as on a machine of a CI.
AUTHOR = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "standard"), ("EMAIL", "standard@localhost"))
}


def main() -> int:
    """Update; returns the exit status, which is that of the first command that fails."""
    branch = sys.argv[1]
    if _run("cruft", "check") == 0:
        return 0

    environment = os.environ if _run("git", "config", "user.email") == 0 else os.environ | AUTHOR
    for command in (
        ("git", "switch", "--quiet", "--create", branch),
        ("cruft", "update", "--skip-apply-ask"),
    ):
        if status := _run(*command):
            return status
    conflicts = _conflicts()
    for command in (
        ("git", "add", "--all"),
        ("git", "commit", "--quiet", "--message", MESSAGE),
    ):
        if status := _run(*command, environment=environment):
            return status

    for path in conflicts:
        print(f"{path}: resolve the conflict")  # noqa: T201
    return _run("git", "diff", "--shortstat", "HEAD~1")


def _conflicts() -> list[str]:
    """The files with changes that met an edit of the service."""
    unmerged = ["git", "diff", "--name-only", "--diff-filter=U"]
    marked = subprocess.check_output(unmerged, text=True).splitlines()
    rejected = [path.as_posix() for path in Path().rglob("*.rej") if ".venv" not in path.parts]
    return sorted([*marked, *rejected])


def _run(*command: str, environment: "os._Environ[str] | dict[str, str]" = os.environ) -> int:
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
