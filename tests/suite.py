"""Runs pytest, and once more what failed: `python tests/suite.py tests/jobs`.

The suites run real servers, workers and brokers, four suites at a time on two cores, and a machine
may stop any process for seconds. A test that fails and then passes in a new process is *unstable*:
it does not fail the run, and its name is printed at the end. CPython's own test runner does the
same (`python -m test --rerun`). An unstable test is a defect, of the test or of what it tests.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

# More failures than this are no accident, and to run them again would take as long as the suite.
MAX_AGAIN = 5


def run(arguments: list[str], max_again: int = MAX_AGAIN) -> int:
    """Run the tests.

    Args:
        arguments: those of pytest.
        max_again: how many failed tests are run again; where more failed, none is.

    Returns:
        pytest's exit code; 0 where each test passed in one of two tries.
    """
    with tempfile.TemporaryDirectory(prefix="suite-") as cache:
        command = [sys.executable, "-m", "pytest", *arguments, "-o", f"cache_dir={cache}"]
        code = subprocess.run(command, check=False).returncode
        noted = Path(cache, "v", "cache", "lastfailed")
        failed = json.loads(noted.read_text()) if noted.exists() else {}
        if code != pytest.ExitCode.TESTS_FAILED or not 0 < len(failed) <= max_again:
            return code

        print(f"\n{len(failed)} failed, and are run again in a new process", flush=True)
        only_failed = ["--last-failed", "--last-failed-no-failures=none"]
        code = subprocess.run([*command, *only_failed], check=False).returncode
        if code == 0:
            for name in failed:
                print(f"UNSTABLE: {name} failed, and passed when it was run again", flush=True)
        return code


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
