"""The sandbox, as often as it is asked: equal reads share no call here, or the sharing would be
measured.
"""

from functools import partial

from benchmarks.rows import LIMIT
from benchmarks.work import APIS, SANDBOX
from offload.fanout import CircuitBreaker, Retry, Upstream

_upstream = partial(Upstream, base_url=f"{SANDBOX}/wait", single_flight=False)

apis = [_upstream(name) for name in APIS]
crowded = _upstream("crowded", max_in_flight=1000)

# Every refusal counts, and none makes another call or stops one: the two differ in their bound
# alone.
_counted = partial(_upstream, retry=Retry(attempts=1), breaker=CircuitBreaker(failure_ratio=1.1))
bounded = _counted("bounded", max_in_flight=LIMIT, max_waiting=9999)
unbounded = _counted("unbounded", max_in_flight=9999)
