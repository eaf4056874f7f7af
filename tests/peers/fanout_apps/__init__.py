"""The same fan-out of ten, written for five stacks."""

import itertools
import os

# Ten hosts.
SOURCES = [
    f"http://127.0.0.{number}:{os.environ.get('PEERS_UPSTREAM', 0)}" for number in range(1, 11)
]
_numbers = itertools.count()


def asked() -> dict[str, str]:
    """The query of a call. No two are equal: single flight would share equal calls."""
    return {"symbols": "ACME,GLOBEX", "number": str(next(_numbers))}
