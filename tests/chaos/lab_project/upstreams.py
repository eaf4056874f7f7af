"""One upstream that is well, and one for each fault of `tests/fanout/chaos.py`."""

import os

from offload.fanout import CircuitBreaker, Upstream

BAD_URL = os.environ.get("LAB_UPSTREAM", "http://127.0.0.1:9")
FAULTS = os.environ.get("LAB_FAULTS", "").split()
# Names that no name server answers.
HANGING = 6
# The breaker never opens, so that each call meets the fault.
NEVER = CircuitBreaker(minimum_throughput=10**9)
LIMITS = {
    "attempt_timeout": 0.4,
    "timeout": 0.8,
    "breaker": NEVER,
    "single_flight": False,
}

well = Upstream("well", base_url=BAD_URL, breaker=NEVER)
bad = {name: Upstream(name, base_url=BAD_URL, **LIMITS) for name in FAULTS} | {
    f"hanging{n}": Upstream(f"hanging{n}", base_url=f"http://hanging{n}.test", **LIMITS)
    for n in range(HANGING)
}
