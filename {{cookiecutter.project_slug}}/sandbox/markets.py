"""The price sources of the example, each with its own latency.

`flaky` fails for three of ten requests, `harbor` is slow for one of twelve, and `turtle`
is too slow for every deadline. The random numbers are seeded: every run has the same order.
"""

import asyncio
import zlib
from dataclasses import dataclass, field
from random import Random
from urllib.parse import parse_qs

from sandbox.answer import Scope, Send, answer


@dataclass
class Source:
    """One stand-in API."""

    # Seconds from request to response.
    latency: float
    # Share of the requests that are answered 503, from 0 to 1.
    failure_ratio: float = 0.0
    # Share of the requests that take `slow_latency` seconds, from 0 to 1.
    slow_ratio: float = 0.0
    slow_latency: float = 0.0
    # The source's prices are the true prices times this.
    price_factor: float = 1.0
    random: Random = field(default_factory=lambda: Random(7))

    def next_latency(self) -> float:
        """Seconds that the next request takes."""
        # A source that is never slow draws no number, so that its failures keep their order.
        is_slow = self.slow_ratio and self.random.random() < self.slow_ratio
        return self.slow_latency if is_slow else self.latency


SOURCES = {
    "northbank": Source(latency=0.025),
    "eastdata": Source(latency=0.060, price_factor=1.002),
    "harbor": Source(latency=0.110, price_factor=0.996, slow_ratio=0.08, slow_latency=0.35),
    "flaky": Source(latency=0.030, failure_ratio=0.3, price_factor=1.003),
    "turtle": Source(latency=4.0, price_factor=0.999),
    "riskline": Source(latency=0.045),
}
# Symbols that only these sources know. Every source knows every other symbol.
LISTED_AT: dict[str, set[str]] = {"NORTHONLY": {"northbank", "riskline"}, "NOWHERE": set()}


def price(symbol: str) -> float:
    """A price between 20 and 500, the same for the same symbol in every run."""
    return 20 + zlib.crc32(symbol.encode()) % 48_000 / 100


def volatility(symbol: str) -> float:
    """A yearly volatility between 0.12 and 0.45, the same for the same symbol in every run."""
    return 0.12 + zlib.crc32(symbol.encode()[::-1]) % 3_300 / 10_000


async def markets(scope: Scope, send: Send) -> None:
    """`GET /{source}/prices?symbols=A,B` and `GET /riskline/volatilities?symbols=A,B`."""
    name, _, resource = scope["path"].strip("/").partition("/")
    source = SOURCES.get(name)
    query = parse_qs(scope["query_string"].decode())
    symbols = [each for each in query.get("symbols", [""])[0].split(",") if each]
    if source is None or resource not in ("prices", "volatilities"):
        await answer(send, 404, {"error": "no such source"})
        return
    symbols = [each for each in symbols if name in LISTED_AT.get(each, SOURCES)]
    await asyncio.sleep(source.next_latency())
    if source.random.random() < source.failure_ratio:
        await answer(send, 503, {"error": "down for a moment"})
    elif resource == "prices":
        prices = {symbol: round(price(symbol) * source.price_factor, 2) for symbol in symbols}
        await answer(send, 200, {"prices": prices})
    else:
        volatilities = {symbol: round(volatility(symbol), 4) for symbol in symbols}
        await answer(send, 200, {"volatilities": volatilities})
