"""The portfolio's jobs: which function computes what, with which models and limits."""

from pydantic import BaseModel

from offload.jobs import MiB, Report, job

# A job is divided into at most so many parts: enough to keep several workers busy to the end.
MAX_PARTS = 8
# Simulations of a part, at least. They take some 0.1 s; in a smaller part its own cost of about
# 10 ms would show.
MIN_PART_SIMULATIONS = 100_000


class RiskParams(BaseModel):
    """Positions with today's prices, and how to simulate them."""

    holdings: dict[str, float]
    prices: dict[str, float]
    volatilities: dict[str, float]
    horizon_days: int
    simulations: int
    seed: int

    def positions(self) -> tuple[list[float], list[float]]:
        """What each position is worth, and its volatility."""
        values = [quantity * self.prices[symbol] for symbol, quantity in self.holdings.items()]
        return values, [self.volatilities[symbol] for symbol in self.holdings]


class SimulationParams(BaseModel):
    """One part of a simulation: its number of portfolios, and a seed of its own."""

    values: list[float]
    volatilities: list[float]
    days: int
    simulations: int
    seed: str


class Counts(BaseModel):
    """How many of the simulated gains are in each bin."""

    counts: list[int]


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


def divide(params: RiskParams) -> list[SimulationParams]:
    """Parts of equal size. The same simulation has the same parts on every machine."""
    values, volatilities = params.positions()
    parts = min(MAX_PARTS, max(1, params.simulations // MIN_PART_SIMULATIONS))
    # Where each part begins; the last one is where the last part ends.
    starts = [params.simulations * number // parts for number in range(parts + 1)]
    return [
        SimulationParams(
            values=values,
            volatilities=volatilities,
            days=params.horizon_days,
            simulations=starts[number + 1] - starts[number],
            seed=f"{params.seed}/{number}",
        )
        for number in range(parts)
    ]


@job("portfolio.simulation", time_limit=600, memory_limit=512 * MiB)
def simulation(params: SimulationParams, report: Report) -> Counts:
    from .compute import simulate

    return Counts(counts=simulate(**params.model_dump(), report=report))


@job("portfolio.risk", time_limit=60, memory_limit=512 * MiB, split=divide, part=simulation)
def risk(params: RiskParams, parts: list[Counts]) -> RiskResult:
    from .compute import add_up, deviation, summarise

    values, volatilities = params.positions()
    counts = add_up([part.counts for part in parts])
    summary = summarise(counts, deviation(values, volatilities, params.horizon_days))
    return RiskResult.model_validate(
        summary | {"value": round(sum(values), 2), "simulations": params.simulations}
    )
