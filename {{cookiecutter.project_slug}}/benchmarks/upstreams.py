"""The sandbox as upstreams. Single flight is off: otherwise the benchmarks would measure it."""

from functools import partial

from benchmarks.rows import LIMIT
from benchmarks.work import APIS, SANDBOX
from offload.fanout import CircuitBreaker, Retry, Upstream

_upstream = partial(Upstream, base_url=f"{SANDBOX}/wait", single_flight=False)

apis = [_upstream(name) for name in APIS]
crowded = _upstream("crowded", max_in_flight=1000)

# Without retries and with a circuit breaker that never opens, every refusal counts once. The time
# is long, so that a slow machine adds no failures. The two upstreams differ only in their bound.
_counted = partial(
    _upstream,
    retry=Retry(attempts=1),
    breaker=CircuitBreaker(failure_ratio=1.1),
    timeout=60.0,
    attempt_timeout=60.0,
    connect_timeout=10.0,
)
bounded = _counted("bounded", max_in_flight=LIMIT, max_waiting=9999)
unbounded = _counted("unbounded", max_in_flight=9999)
