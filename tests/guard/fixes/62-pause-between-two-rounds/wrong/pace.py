"""How a game is paced."""

import time as clock
from collections.abc import Iterator

COUNTDOWN = 3
STEP_SECONDS = 1.0


def countdown(start: int = COUNTDOWN) -> Iterator[int]:
    for left in range(start, 0, -1):
        yield left
        clock.sleep(STEP_SECONDS)
