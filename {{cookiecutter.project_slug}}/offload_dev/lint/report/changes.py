"""The lines that a branch has changed, as git tells them."""

import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from offload_dev.lint.report.findings import Finding, read_step

# `@@ -3 +4,2 @@`: from line 4 on there are 2 new lines. Without a count it is one line.
HUNK = re.compile(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@")
GIT_TIMEOUT_SECONDS = 60
# Git's name of a tree without files: before the first commit, every line is new.
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


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
        has_commits = bool(self._git("rev-list", "--all", "--max-count=1"))
        start = self._git("merge-base", base, "HEAD").strip() if has_commits else EMPTY_TREE
        self._lines: dict[Path, set[int]] = {}
        self._read(self._git("diff", "--unified=0", "--no-prefix", "--relative", start))
        new = self._git("ls-files", "--others", "--exclude-standard").splitlines()
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

    def _read(self, diff: str) -> None:
        lines: set[int] = set()
        for text in diff.splitlines():
            if text.startswith("+++ "):
                name = text.removeprefix("+++ ").rstrip("\t")
                lines = self._lines.setdefault((self._root / name).resolve(), set())
            elif hunk := HUNK.match(text):
                first, count = int(hunk[1]), int(hunk[2] or 1)
                lines.update(range(first, first + count))

    def _git(self, *arguments: str) -> str:
        command = ["git", "-c", "core.quotepath=off", *arguments]
        try:
            done = subprocess.run(
                command,
                cwd=self._root,
                capture_output=True,
                text=True,
                timeout=GIT_TIMEOUT_SECONDS,
                check=False,
            )
        except OSError as error:
            raise GitError(f"--diff needs git: {error}") from error
        if done.returncode:
            raise GitError(f"git {arguments[0]}: {done.stderr.strip()}")
        return done.stdout
