"""Room: event loop. The external APIs that this feature waits for, and how long it waits."""

from typing import Annotated

from django.conf import settings
from pydantic import BaseModel, Field

from offload.fanout import Hedge, Upstream

# What an upstream answers is foreign data, and is validated: a price that is no price is a failure
# of its source, and not of the code that computes with it.
Price = Annotated[float, Field(gt=0, le=1e9)]
Volatility = Annotated[float, Field(ge=0, le=10)]


class Prices(BaseModel):
    """The prices of the symbols that a source knows."""

    prices: dict[str, Price]


class Volatilities(BaseModel):
    """The yearly volatilities, as fractions, of the symbols that a source knows."""

    volatilities: dict[str, Volatility]


_at = settings.MARKETS_URL

northbank = Upstream("northbank", base_url=f"{_at}/northbank", attempt_timeout=0.5)
eastdata = Upstream("eastdata", base_url=f"{_at}/eastdata", attempt_timeout=0.5)
# It is slow by chance. A request that takes longer than 4 of 5 gets a second one beside it.
harbor = Upstream(
    "harbor",
    base_url=f"{_at}/harbor",
    attempt_timeout=0.5,
    hedge=Hedge(quantile=0.8, budget_ratio=0.2),
)
flaky = Upstream("flaky", base_url=f"{_at}/flaky", attempt_timeout=0.5)
turtle = Upstream("turtle", base_url=f"{_at}/turtle", attempt_timeout=0.8)
riskline = Upstream("riskline", base_url=f"{_at}/riskline", attempt_timeout=0.5)

# Every source that answers in time counts; northbank is required.
QUOTES = (northbank, eastdata, harbor, flaky, turtle)
# The prices of a job come from these sources; all of them are required.
REFERENCE = (northbank, eastdata, harbor)
