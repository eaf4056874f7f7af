"""Room: worker process. Plain functions: no Django, no httpx, no asyncio, no Celery."""

import math
import random
from collections.abc import Callable, Sequence

TRADING_DAYS = 252
# The bins span 6 standard deviations to both sides, so a quantile is exact to 3 % of one.
BINS = 400
SPAN = 6.0
# Bars of the histogram that is drawn.
BARS = 40


def deviation(values: Sequence[float], volatilities: Sequence[float], days: int) -> float:
    """Standard deviation of a portfolio's gain over `days`, for independent positions."""
    return math.sqrt(
        sum((v * s) ** 2 for v, s in zip(values, volatilities, strict=True)) * days / TRADING_DAYS
    )


def simulate(
    values: Sequence[float],
    volatilities: Sequence[float],
    days: int,
    simulations: int,
    seed: int | str,
    report: Callable[[float, str], None],
) -> list[int]:
    """Monte Carlo: how often a portfolio's gain falls into each of `BINS` bins around zero.

    Each position moves by a log-normal factor without drift: value * (exp(s * sqrt(t) * z - s**2 *
    t / 2) - 1), with s its yearly volatility and t = days / 252 (Glasserman, "Monte Carlo Methods
    in Financial Engineering", 3.2).

    Args:
        values: what each position is worth, in money.
        volatilities: yearly, as a fraction, one for each position.
        days: trading days ahead.
        simulations: how many portfolios to draw.
        seed: the same seed gives the same counts.
        report: called now and then with the share that is done, 0 to 1, and a sentence.
    """
    normal = random.Random(seed).gauss
    years = days / TRADING_DAYS
    drifts = [-s * s * years / 2 for s in volatilities]
    moves = list(zip(values, drifts, [s * math.sqrt(years) for s in volatilities], strict=True))
    span = deviation(values, volatilities, days) * SPAN or 1.0
    scale = BINS / (2 * span)
    counts = [0] * BINS
    exp = math.exp
    for done in range(simulations):
        if not done % 2000:
            report(done / simulations, f"{done:,} of {simulations:,} portfolios")
        gain = sum(
            [value * (exp(drift + sigma * normal(0.0, 1.0)) - 1) for value, drift, sigma in moves]
        )
        counts[min(max(int((gain + span) * scale), 0), BINS - 1)] += 1
    return counts


def add_up(parts: Sequence[Sequence[int]]) -> list[int]:
    """The counts of several simulations of the same portfolio, bin by bin."""
    return [sum(column) for column in zip(*parts, strict=True)]


def quantile(counts: Sequence[int], span: float, share: float) -> float:
    """The gain below which `share` (0 to 1) of the simulations lie, interpolated inside its bin."""
    wanted = share * sum(counts)
    below = 0
    for index, count in enumerate(counts):
        if count and below + count >= wanted:
            position = index + (wanted - below) / count
            return position / len(counts) * 2 * span - span
        below += count
    return span


def summarise(counts: Sequence[int], deviation: float) -> dict[str, object]:
    """Value at risk at 95 and 99 %, the quantiles, and a histogram, from `simulate`'s counts."""
    span = deviation * SPAN or 1.0
    shares = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
    quantiles = {f"{share:.0%}": round(quantile(counts, span, share), 2) for share in shares}
    wide = len(counts) // BARS
    bars = [sum(counts[start : start + wide]) for start in range(0, len(counts), wide)]
    return {
        "var_95": round(-quantile(counts, span, 0.05), 2),
        "var_99": round(-quantile(counts, span, 0.01), 2),
        "quantiles": quantiles,
        "histogram": {"low": round(-span, 2), "high": round(span, 2), "counts": bars},
    }
