"""Computing as a plain function: pure Python, which holds the interpreter's lock."""

import time


def compute(rounds: int) -> int:
    """Count in circles, so many rounds."""
    total = 0
    for number in range(rounds):
        total += number * number % 7
    return total


def rounds_of(seconds: float, sample: int = 1_000_000) -> int:
    """How many rounds take so many seconds of CPU on this machine; the fastest of three tries
    counts.
    """
    tries = []
    for _ in range(3):
        before = time.process_time()
        compute(sample)
        tries.append(time.process_time() - before)
    return int(sample * seconds / min(tries))
