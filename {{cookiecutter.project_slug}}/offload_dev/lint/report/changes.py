"""The lines that a branch has changed, as git tells them."""

import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from offload_dev.lint.report.findings import Finding, read_step

# `@@ -3 +4,2 @@`: instead of one line, line 3, there are 2 lines from line 4 on.
HUNK = re.compile(r"^@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
# What a user, a repository or a file of attributes may have switched on, which nobody could read.
PLAIN = (
    *("--no-color", "--no-ext-diff", "--no-textconv", "--text", "--submodule=short"),
    *("--unified=0", "--inter-hunk-context=0", "--no-prefix", "--relative"),
    "--find-renames",
)
GIT_TIMEOUT_SECONDS = 60
# Git's name of a tree without files: before the first commit, every line is new.
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
NO_START = (
    "HEAD and {base} have no commit in common here. If this is a shallow clone, fetch the rest: "
    "git fetch --unshallow"
)


class GitError(RuntimeError):
    """Git does not know the base, or there is no repository."""


class Changes:
    """The lines of a working tree that its base does not have, committed or not.

    Args:
        root: a directory, or one file.
        base: a branch, tag or commit. What came into it since the branch began does not count.

    Raises:
        GitError: if git fails, with what it said.
    """

    def __init__(self, root: Path, base: str) -> None:
        self._root = root if root.is_dir() else root.parent
        self._is_file = not root.is_dir()
        if base.startswith("-"):
            raise GitError(f"{base!r} is no branch, tag or commit")
        # A whole project is Python; a large binary file would only take time.
        files = "*.py" if root.is_dir() else f":(literal){root.name}"
        self._lines: dict[Path, set[int]] = {}
        self._read(self._git("diff", *PLAIN, self._start(base), "--", files))
        new = self._git("ls-files", "--others", "--exclude-standard", "-z").split("\0")
        self._new = {(self._root / name).resolve() for name in new}

    def only(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """The findings whose line, or a line of whose chain, is new or changed."""
        for finding in findings:
            steps = [read_step(step)[:2] for step in finding.chain]
            places = [(finding.path, finding.line), *steps]
            if any(self._has(path, line) for path, line in places):
                yield finding

    def _has(self, path: str, line: int) -> bool:
        file = (Path(path) if self._is_file else self._root / path).resolve()
        return file in self._new or line in self._lines.get(file, ())

    def _start(self, base: str) -> str:
        """The commit at which the branch began."""
        if not self._git("rev-list", "--all", "--max-count=1"):
            return EMPTY_TREE
        return self._git("merge-base", base, "HEAD", told=NO_START.format(base=base)).strip()

    def _read(self, diff: str) -> None:
        lines: set[int] = set()
        # How many lines of a hunk are still to come. One of them may look like a head.
        inside = 0
        for text in diff.split("\n"):
            if inside:
                # `\ No newline at end of file` is no line.
                inside -= not text.startswith("\\")
            elif text.startswith("+++ "):
                name = _unquoted(text.removeprefix("+++ ").rstrip("\t"))
                lines = self._lines.setdefault((self._root / name).resolve(), set())
            elif hunk := HUNK.match(text):
                removed, added = (int(count or 1) for count in hunk.group(1, 3))
                lines.update(range(int(hunk[2]), int(hunk[2]) + added))
                inside = removed + added

    def _git(self, *arguments: str, told: str = "") -> str:
        """What git prints.

        Args:
            told: what to say if git fails without a word.
        """
        command = ["git", "-c", "core.quotepath=off", *arguments]
        try:
            done = subprocess.run(
                command,
                cwd=self._root,
                capture_output=True,
                timeout=GIT_TIMEOUT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise GitError(f"--diff needs git: {error}") from error
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()
            raise GitError(f"git {arguments[0]}: {said or told}")
        # As Python names files. It must not change ends of lines, of which hunks are counted.
        return done.stdout.decode("utf-8", "surrogateescape")


def _unquoted(name: str) -> str:
    """A file's name, which git writes with quotes and escapes if it has special characters."""
    if not name.startswith('"'):
        return name
    content = name[1:-1].encode("utf-8", "surrogateescape")
    return content.decode("unicode_escape").encode("latin-1").decode("utf-8", "surrogateescape")
