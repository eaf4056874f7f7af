"""The same fan-out of ten, written by five."""

import itertools
import os

# Ten hosts.
SOURCES = [
    f"http://127.0.0.{number}:{os.environ.get('PEERS_UPSTREAM', 0)}" for number in range(1, 11)
]
_numbers = itertools.count()


def asked() -> dict[str, str]:
    """The query of a call, each its own: calls that may share an answer would flatter single
    flight.
    """
    return {"symbols": "ACME,GLOBEX", "number": str(next(_numbers))}
