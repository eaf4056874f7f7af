"""A task for a coding assistant: a request, hidden checks, and two solutions that test the checks.

A task is a page of `tasks/`: its text is the request. Its blocks are `python checks`, which no
assistant sees, and for each of the solutions `right` and `wrong` the commands (`sh right`) and the
files (`python right PACKAGE/rates/api.py`). A block that says `both` belongs to both.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from template.conftest import SHARED, bake, run

TASKS = Path(__file__).with_name("tasks")
KINDS = "checks|right|wrong|both"
BLOCK = re.compile(rf"^```(\w+) ({KINDS})(?: (\S+))?\n(.*?)^```\n?", re.DOTALL | re.MULTILINE)
PACKAGE = "desk"
HIDDEN = "tests/test_hidden.py"


@dataclass(frozen=True)
class Task:
    """One page of `tasks/`."""

    name: str
    text: str

    @property
    def request(self) -> str:
        """What the assistant is told."""
        return BLOCK.sub("", self.text).replace("PACKAGE", PACKAGE).strip()

    def blocks(self, language: str, *kinds: str) -> list[tuple[str, str]]:
        """The files' names and the texts of the blocks of a kind."""
        return [
            (name.replace("PACKAGE", PACKAGE), text.replace("PACKAGE", PACKAGE))
            for found, kind, name, text in BLOCK.findall(self.text)
            if found == language and kind in kinds
        ]

    def solve(self, project: Path, solution: str) -> None:
        """Do what a solution says."""
        for _, commands in self.blocks("sh", solution, "both"):
            for command in commands.splitlines():
                extra = SHARED if command.startswith("make") else ()
                ran = run(*command.split(), *extra, cwd=project)
                assert ran.returncode == 0, ran.stdout
        for name, text in self.blocks("python", solution, "both"):
            (project / name).write_text(text)
        if any((project / PACKAGE).glob("*/models.py")):
            made = run("python", "manage.py", "makemigrations", cwd=project)
            assert made.returncode == 0, made.stdout

    def faults(self, project: Path) -> list[str]:
        """What is wrong with a solution: the linter's errors, and failed checks."""
        linted = run("python", "-m", "offload_dev.lint", ".", cwd=project)
        found = [] if linted.returncode == 0 else [f"linter:\n{linted.stdout}"]
        ((_, checks),) = self.blocks("python", "checks")
        (project / HIDDEN).write_text(checks)
        # A busy machine needs more than the service's own limit, to start all processes.
        command = ("pytest", "-q", "-p", "no:cacheprovider", "--timeout", "240", HIDDEN)
        tested = run(*command, cwd=project)
        if tested.returncode:
            found.append(f"checks:\n{tested.stdout}")
        (project / HIDDEN).unlink()
        return found


def all_tasks() -> list[Task]:
    """The tasks, by their names."""
    return [Task(page.stem, page.read_text()) for page in sorted(TASKS.glob("*.md"))]


def new_service(folder: Path) -> Path:
    """A service without the example, in a new folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    made = bake(folder, project_name="Desk", example="no", ci="none")
    assert made.returncode == 0, made.stdout
    return folder / "desk"
