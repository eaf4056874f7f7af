"""`python -m offload_dev.lint PATH` grades any Django source tree, and needs nothing but Python."""

import argparse
import gc
import os
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from offload_dev.lint.deep_stack import with_deep_stack
from offload_dev.lint.grade import grade
from offload_dev.lint.origins.libraries import BadTableError
from offload_dev.lint.report import pages
from offload_dev.lint.report.baseline import BadBaselineError, Baseline, write_baseline
from offload_dev.lint.report.changes import Changes, GitError
from offload_dev.lint.report.findings import Finding
from offload_dev.lint.report.formats import REPORTS
from offload_dev.lint.source.project import Project

FAILING_SEVERITIES: dict[str, set[str]] = {
    "error": {"error"},
    "warning": {"error", "warning"},
    "never": set(),
}
# Stubs have no code to follow, and a notebook is JSON, some of which Python can parse.
PYTHON_SUFFIXES = {"", ".py", ".pyw"}


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Returns the exit status.

    0: nothing was found that fails, by `--fail-on`. 1: something was, or the baseline has findings
    that are mended. 2: the arguments are wrong, or a file that they name.
    """
    options = _options(arguments)
    if options.explain:
        return _explain(options.explain)
    try:
        return _grade(options)
    except BrokenPipeError:
        # `run` ends quietly: whoever reads has read enough.
        raise
    except (BadBaselineError, BadTableError, GitError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _grade(options: argparse.Namespace) -> int:
    project = Project(options.path)
    for error in project.unlisted:
        sys.stderr.write(f"{error.filename}: left out, it cannot be read: {error.strerror}\n")
    if not project.files and not project.unreadable:
        sys.stderr.write(f"{options.path}: no Python file but tests and what else is left out\n")
        return 2

    findings = grade(project)
    if options.write_baseline:
        write_baseline(findings, project, options.write_baseline)
        sys.stdout.write(f"{options.write_baseline}: findings recorded: {len(findings)}\n")
        return 0

    mended = 0
    if options.baseline:
        baseline = Baseline(project, options.baseline)
        findings = list(baseline.new(findings))
        mended = 0 if options.prune_baseline else baseline.mended
        if options.prune_baseline:
            baseline.prune()
    if options.diff is not None:
        findings = list(Changes(options.path, options.diff).only(findings))

    sys.stdout.write(f"{REPORTS[options.format](findings, options.path)}\n")
    return _status(findings, mended, options)


def _status(findings: list[Finding], mended: int, options: argparse.Namespace) -> int:
    if mended:
        sys.stderr.write(
            f"{options.baseline}: {mended} of its findings are mended. Delete them from it with "
            "--prune-baseline, so that they cannot come back unseen\n"
        )
    failing = FAILING_SEVERITIES[options.fail_on]
    is_stale = bool(mended and failing)
    return 1 if is_stale or failing & {finding.severity for finding in findings} else 0


def _explain(number: str) -> int:
    page = pages.read(number)
    if page is None:
        sys.stderr.write(f"there is no number {number}: take one from a finding, such as OFF103\n")
        return 2
    sys.stdout.write(page)
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    # As one file the linter is called by the file's name.
    called = Path(sys.argv[0]).name
    prog = called if called.endswith(".pyz") else "python -m offload_dev.lint"
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("path", type=Path, nargs="*", help="a project's directory, or one file")
    parser.add_argument(
        "--format",
        choices=tuple(REPORTS),
        default="text",
        help="how to print the findings (default: text)",
    )
    parser.add_argument(
        "--json", action="store_const", const="json", dest="format", help="--format json"
    )
    parser.add_argument(
        "--fail-on",
        choices=tuple(FAILING_SEVERITIES),
        default="error",
        help="exit with 1 if there is a finding of this severity (default: error)",
    )
    parser.add_argument(
        "--diff", metavar="BASE", help="report only what stands on lines that BASE does not have"
    )
    _add_baseline_options(parser)
    parser.add_argument("--explain", metavar="NUMBER", help="print the page of a number, and stop")
    options = parser.parse_args(arguments)

    if options.explain is None:
        _check_paths(parser, options)
    return options


def _add_baseline_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--baseline", type=Path, help="a file of old findings, which are not reported again"
    )
    parser.add_argument(
        "--prune-baseline",
        action="store_true",
        help="delete from the baseline what is no longer found",
    )
    parser.add_argument(
        "--write-baseline", type=Path, help="record today's findings in this file, and stop"
    )


def _check_paths(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if not options.path:
        parser.error("give a directory of Python source")
    if len(options.path) > 1:
        parser.error(
            "give one directory, since calls are followed from file to file: --diff HEAD reports "
            "only what is new. In pre-commit: pass_filenames: false"
        )
    options.path = options.path[0]
    if not options.path.exists():
        parser.error(f"{options.path} does not exist: give a directory of Python source")
    is_python = options.path.is_file() and options.path.suffix in PYTHON_SUFFIXES
    if not options.path.is_dir() and not is_python:
        parser.error(f"{options.path} is no Python source: give a directory, or a .py file")
    if options.baseline and not options.baseline.exists():
        parser.error(f"{options.baseline} does not exist: write it first, with --write-baseline")
    if options.prune_baseline and not options.baseline:
        parser.error("--prune-baseline needs the file: --baseline FILE --prune-baseline")


def run() -> NoReturn:
    """Run the command as a process of its own.

    The syntax trees live until the process ends, so the garbage collector finds nothing in them.
    Without it Django's own source takes 2 s of CPU instead of 6 s (measured, CPython 3.11).
    """
    gc.disable()
    # Written as Python writes it: a name that the terminal's encoding lacks, and a key in code.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.set_int_max_str_digits(0)
    try:
        status = with_deep_stack(main)
        sys.stdout.flush()
    except BrokenPipeError:
        # `| head` has read enough. The interpreter would try to write the rest when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except Exception:  # noqa: BLE001 - status 1 would say that there are findings
        traceback.print_exc()
        sys.stderr.write("This is a fault of the linter, and no finding. Please report it.\n")
        status = 3
    # The interpreter collects once more when it ends, and leaves out what is frozen.
    gc.freeze()
    sys.exit(status)


if __name__ == "__main__":
    run()
