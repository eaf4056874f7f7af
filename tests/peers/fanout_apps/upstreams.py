"""The upstreams of the two apps that use our room."""

from fanout_apps import SOURCES, asked
from offload.fanout import Outcomes, Upstream, gather

UPSTREAMS = [Upstream(f"source{number}", base_url=source) for number, source in enumerate(SOURCES)]


async def ask() -> Outcomes:
    """All of them at once."""
    return await gather(
        {upstream.name: upstream.get_json("/prices", params=asked()) for upstream in UPSTREAMS},
        within=2,
    )
