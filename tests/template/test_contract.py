"""What the API's document says is what a running service does: schemathesis, in its short form.

`make contract` of a generated project is the long form.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

from .conftest import run

# Some 400 cases with a token and as many without one. Most are of the coverage phase, which
# has no bound. A seed, so that this test is the same each time.
BOUNDS = ("--examples", "2", "--seed", "1")


def schemathesis() -> str:
    """The program, which no requirement of this repository installs: it is large."""
    found = os.environ.get("SCHEMATHESIS") or shutil.which("schemathesis")
    if found is not None:
        return found
    if os.environ.get("REQUIRE_SCHEMATHESIS"):
        pytest.fail("REQUIRE_SCHEMATHESIS is set and there is no schemathesis: set SCHEMATHESIS")
    pytest.skip("NO SCHEMATHESIS: nobody compared the API's document with what it answers")


@pytest.mark.timeout(900)
def test_the_api_does_what_its_document_says_with_and_without_a_token(with_example: Path) -> None:
    command = ["-m", "offload_dev.contract", schemathesis(), *BOUNDS]
    attacked = run(sys.executable, *command, cwd=with_example)
    assert attacked.returncode == 0, attacked.stdout
    # Both runs came to their end.
    assert attacked.stdout.count("Test cases:") == 2, attacked.stdout
    print(*(line for line in attacked.stdout.splitlines() if "generated" in line), sep="\n")
