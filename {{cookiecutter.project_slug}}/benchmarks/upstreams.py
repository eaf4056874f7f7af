"""The sandbox, as often as it is asked: equal reads share no call here, or the sharing would be measured."""

from functools import partial

from benchmarks.rows import LIMIT
from benchmarks.work import APIS, SANDBOX
from offload.fanout import Breaker, Retry, Upstream

_upstream = partial(Upstream, base_url=f"{SANDBOX}/wait", single_flight=False)

apis = [_upstream(name) for name in APIS]
crowded = _upstream("crowded", max_in_flight=1000)
bounded = _upstream("bounded", max_in_flight=LIMIT, max_waiting=9999)
unbounded = _upstream(
    "unbounded",
    max_in_flight=9999,
    retry=Retry(attempts=1),  # every refusal counts, and none makes another call
    breaker=Breaker(share=1.1),
)
