"""`python -m jobs.model [--family NAME] [--depth N] [--faults]`: explore all states."""

import argparse
import sys
import time

from . import environment, faults  # noqa: F401 - Django first
from .explorer import Broken, Explorer
from .rows import FAMILIES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", choices=FAMILIES, action="append")
    parser.add_argument("--depth", type=int, help="the most actions; all states if not given")
    parser.add_argument("--faults", action="store_true", help="find planted faults instead")
    arguments = parser.parse_args()
    if arguments.faults:
        missed = faults.find_all()
        print("\n".join(missed) or f"all {len(faults.FAULTS)} planted faults are found")
        sys.exit(bool(missed))
    for name in arguments.family or FAMILIES:
        begun = time.monotonic()
        explorer = Explorer(name, arguments.depth)
        try:
            explorer.explore()
        except Broken as broken:
            sys.exit(f"{name}: {broken}")
        all_states = "all states" if explorer.closed else f"depth {arguments.depth}"
        print(
            f"{name}: {len(explorer.found)} states, {explorer.executed} transitions executed, "
            f"{all_states}, {time.monotonic() - begun:.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
