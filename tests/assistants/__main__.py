"""Give each task to an assistant, and say which it has done: `python -m assistants COMMAND...`.

COMMAND is started in a new service, with the request on its standard input, and may change the
service's files. With `--bare` the service has neither AGENTS.md nor the skill: two runs show what
they are worth.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from .task import Task, all_tasks, new_service

# Seconds. An assistant that needs longer for so small a feature has failed.
TIME_LIMIT_SECONDS = 1800


def main() -> int:
    """Run the tasks; returns how many were not done."""
    parser = argparse.ArgumentParser(prog="python -m assistants", description=__doc__)
    parser.add_argument("--bare", action="store_true", help="without AGENTS.md and the skill")
    parser.add_argument("--only", action="append", help="the name of a task; may be repeated")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the assistant and its options")
    options = parser.parse_args()
    if not options.command:
        parser.error("say which assistant, such as: my-assistant --non-interactive")
    tasks = [each for each in all_tasks() if not options.only or each.name in options.only]

    failed = 0
    for task in tasks:
        with TemporaryDirectory() as folder:
            faults = _try(task, new_service(Path(folder) / "new"), options)
        failed += bool(faults)
        sys.stdout.write(f"{task.name}: {'failed' if faults else 'done'}\n")
        for fault in faults:
            sys.stdout.write(f"{fault}\n")
    sys.stdout.write(f"{len(tasks) - failed} of {len(tasks)} done\n")
    return failed


def _try(task: Task, project: Path, options: argparse.Namespace) -> list[str]:
    if options.bare:
        (project / "AGENTS.md").unlink()
        shutil.rmtree(project / ".agents")
    try:
        ran = subprocess.run(
            options.command,
            cwd=project,
            input=task.request,
            text=True,
            check=False,
            timeout=TIME_LIMIT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return [f"the assistant was not done after {TIME_LIMIT_SECONDS} s"]
    faults = [f"the assistant ended with {ran.returncode}"] if ran.returncode else []
    return [*faults, *task.faults(project)]


if __name__ == "__main__":
    sys.exit(main())
