"""Gather: makes many calls at once. Every source gets an outcome, and no call outlives it."""

from collections.abc import Collection, Mapping
from math import inf
from typing import Any

from offload.serving import release

from .call import Call, run_calls
from .deadline import deadline
from .outcome import Outcomes


async def gather(
    calls: Mapping[str, Call[Any]],
    *,
    required: Collection[str] = (),
    within: float = inf,
    limit: float = inf,
) -> Outcomes:
    """Make the calls side by side and return an outcome for each.

    Args:
        calls: what to ask, by source name: `{"northbank": northbank.get_json("/prices")}`.
        required: sources without which there is no answer. The first of them that fails ends the
            whole gather: calls still under way are cancelled, and a `Problem` is raised: 504 if
            the source came too late, 503 if it can be asked again soon, 502 otherwise. It lists
            the sources that were over by then.
        within: seconds for all calls together; the request's own deadline holds, too.
        limit: calls under way at one time. Without it all calls start at once, and one upstream
            refuses those beyond `max_in_flight` and `max_waiting` (64 and 64) with `rejected`.
    """
    if limit < 1:
        raise ValueError(f"limit has to be 1 or more, and is {limit}")

    unknown = set(required) - set(calls)
    if unknown:
        raise ValueError(
            f"required names sources that are not called: {', '.join(sorted(unknown))}"
        )

    await release()
    with deadline(within):
        return await run_calls(calls, required, limit)
