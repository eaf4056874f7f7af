"""Attacks a running service with what its own document allows and forbids: `make contract`.

schemathesis checks that each answer is in the document, that what the document allows is accepted
and what it forbids is refused, and that nothing is a server error.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from offload_dev.pytest.running_service import RunningService, run_service

# For each operation in each phase. 100 of them make some 2,000 cases of the example's API, with and
# again without a token: five minutes on two busy cores.
DEFAULT_EXAMPLES = 100
# Workers that compute what a case has submitted give way to the web process.
WORKER_NICE = "19"


def attack(schemathesis: str, service: RunningService, token: str, options: list[str]) -> int:
    """Run all checks and print their findings; the exit status of schemathesis.

    Args:
        schemathesis: the program.
        service: what is attacked.
        token: for `Authorization`; no such header if it is empty.
        options: of `schemathesis run`.
    """
    sys.stdout.write(f"\n{'With' if token else 'Without'} a token:\n")
    sys.stdout.flush()
    header = ["--header", f"Authorization: Bearer {token}"] if token else []
    command = [schemathesis, "run", f"{service.address}/api/openapi.json", *header, *options]
    # Its lines fit into the log of a CI.
    return subprocess.run(command, env=os.environ | {"COLUMNS": "100"}, check=False).returncode


def main() -> int:
    """Start a service with a database of its own, attack it with and without a token, stop it."""
    parser = argparse.ArgumentParser(prog="make contract", description=__doc__)
    parser.add_argument("schemathesis", help="the program")
    parser.add_argument("--examples", type=int, default=DEFAULT_EXAMPLES)
    parser.add_argument("--seed", type=int, help="of the cases; another one each time by default")
    asked = parser.parse_args()
    options = ["--continue-on-failure", "--max-examples", str(asked.examples)]
    if asked.seed is not None:
        options += ["--seed", str(asked.seed)]

    with (
        TemporaryDirectory() as folder,
        run_service(Path(folder), WORKER_NICE=WORKER_NICE) as service,
    ):
        failed = [
            attack(asked.schemathesis, service, token, options) for token in (service.token, "")
        ]
    return int(any(failed))


if __name__ == "__main__":
    sys.exit(main())
