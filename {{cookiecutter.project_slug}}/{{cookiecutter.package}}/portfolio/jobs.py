"""The bridge: binds the compute functions to jobs, with their models and limits."""

from pydantic import BaseModel

from offload.jobs import MiB
from offload.jobs.kinds import Report, job


class RiskParams(BaseModel):
    """Positions with today's prices, and how to simulate them."""

    holdings: dict[str, float]
    prices: dict[str, float]
    volatilities: dict[str, float]
    horizon_days: int
    simulations: int
    seed: int


class Histogram(BaseModel):
    """Equal bars from `low` to `high`, in money."""

    low: float
    high: float
    counts: list[int]


class RiskResult(BaseModel):
    """Gains and losses in money over the horizon; value at risk is a loss, so positive."""

    value: float
    var_95: float
    var_99: float
    quantiles: dict[str, float]
    histogram: Histogram
    simulations: int


@job("portfolio.risk", time_limit=600, memory_limit=512 * MiB)
def risk(params: RiskParams, report: Report) -> RiskResult:
    from .compute import deviation, simulate, summarise

    values = [quantity * params.prices[symbol] for symbol, quantity in params.holdings.items()]
    volatilities = [params.volatilities[symbol] for symbol in params.holdings]
    counts = simulate(values, volatilities, params.horizon_days, params.simulations, params.seed, report)
    summary = summarise(counts, deviation(values, volatilities, params.horizon_days))
    return RiskResult.model_validate(summary | {"value": round(sum(values), 2), "simulations": params.simulations})
