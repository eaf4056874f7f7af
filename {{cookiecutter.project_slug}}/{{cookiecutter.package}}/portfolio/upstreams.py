"""Room: event loop. The external APIs this feature waits for, and how long it is willing to."""

from django.conf import settings

from offload.fanout import Upstream

_at = settings.MARKETS_URL

northbank = Upstream("northbank", base_url=f"{_at}/northbank", attempt_timeout=0.5)
eastdata = Upstream("eastdata", base_url=f"{_at}/eastdata", attempt_timeout=0.5)
harbor = Upstream("harbor", base_url=f"{_at}/harbor", attempt_timeout=0.5)
flaky = Upstream("flaky", base_url=f"{_at}/flaky", attempt_timeout=0.5)
turtle = Upstream("turtle", base_url=f"{_at}/turtle", attempt_timeout=0.8)
riskline = Upstream("riskline", base_url=f"{_at}/riskline", attempt_timeout=0.5)

# The more the better, and northbank at least.
QUOTES = (northbank, eastdata, harbor, flaky, turtle)
# All of them, or there is no computing with their prices.
REFERENCE = (northbank, eastdata, harbor)
