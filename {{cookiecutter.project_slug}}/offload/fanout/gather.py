"""Ask many upstreams at once: every source gets an outcome, and no call outlives the request."""

from collections.abc import Collection, Mapping
from math import inf
from typing import Any

from offload.serving import release

from .call import Call
from .deadline import deadline
from .journey import travel
from .outcome import Outcomes


async def gather(
    calls: Mapping[str, Call[Any]], *, required: Collection[str] = (), within: float = inf
) -> Outcomes:
    """Run the calls side by side and tell what became of each.

    Args:
        calls: what to ask, by source name: `{"northbank": northbank.get_json("/prices")}`.
        required: sources without which there is no answer. The first of them to fail ends the whole
            gather: what still runs is cancelled, and a 503 `Problem` tells of the sources that were
            done.
        within: seconds for all of them together; the request's own deadline holds besides.
    """
    unknown = set(required) - set(calls)
    if unknown:
        raise ValueError(
            f"required names sources that are not called: {', '.join(sorted(unknown))}"
        )
    await release()
    with deadline(within):
        return await travel(calls, required)
