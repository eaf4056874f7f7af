"""Room: event loop. The external APIs that this feature waits for, and how long it waits."""

from django.conf import settings

from offload.fanout import Upstream

_at = settings.MARKETS_URL

northbank = Upstream("northbank", base_url=f"{_at}/northbank", attempt_timeout=0.5)
eastdata = Upstream("eastdata", base_url=f"{_at}/eastdata", attempt_timeout=0.5)
harbor = Upstream("harbor", base_url=f"{_at}/harbor", attempt_timeout=0.5)
flaky = Upstream("flaky", base_url=f"{_at}/flaky", attempt_timeout=0.5)
turtle = Upstream("turtle", base_url=f"{_at}/turtle", attempt_timeout=0.8)
riskline = Upstream("riskline", base_url=f"{_at}/riskline", attempt_timeout=0.5)

# Every source that answers in time counts; northbank is required.
QUOTES = (northbank, eastdata, harbor, flaky, turtle)
# The prices of a job come from these sources; all of them are required.
REFERENCE = (northbank, eastdata, harbor)
