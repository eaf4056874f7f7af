"""Computing as a plain function, in pure Python: it holds the GIL."""

import time


def compute(rounds: int) -> int:
    """Do so many rounds of arithmetic."""
    total = 0
    for number in range(rounds):
        total += number * number % 7
    return total


def rounds_of(seconds: float, sample: int = 1_000_000) -> int:
    """How many rounds take so many CPU seconds on this machine, by the fastest of three tries."""
    tries = []
    for _ in range(3):
        before = time.process_time()
        compute(sample)
        tries.append(time.process_time() - before)
    return int(sample * seconds / min(tries))
