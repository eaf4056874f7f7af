"""The example's price sources, each with its own latency. One fails now and then, one is far too
slow; seeded.
"""

import asyncio
import random
import zlib
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from sandbox.answer import Scope, Send, answer


@dataclass
class Source:
    """One stand-in API: seconds it takes, share of requests it fails (0 to 1), by what its prices
    are off.
    """

    latency: float
    failures: float = 0.0
    stray: float = 1.0
    dice: random.Random = field(default_factory=lambda: random.Random(7))


SOURCES = {
    "northbank": Source(latency=0.025),
    "eastdata": Source(latency=0.060, stray=1.002),
    "harbor": Source(latency=0.110, stray=0.996),
    "flaky": Source(latency=0.030, failures=0.3, stray=1.003),
    "turtle": Source(latency=4.0, stray=0.999),
    "riskline": Source(latency=0.045),
}


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
    symbols = [each for each in parse_qs(scope["query_string"].decode()).get("symbols", [""])[0].split(",") if each]
    if source is None or resource not in ("prices", "volatilities"):
        await answer(send, 404, {"error": "no such source"})
        return
    await asyncio.sleep(source.latency)
    if source.dice.random() < source.failures:
        await answer(send, 503, {"error": "down for a moment"})
    elif resource == "prices":
        await answer(send, 200, {"prices": {symbol: round(price(symbol) * source.stray, 2) for symbol in symbols}})
    else:
        await answer(send, 200, {"volatilities": {symbol: round(volatility(symbol), 4) for symbol in symbols}})
