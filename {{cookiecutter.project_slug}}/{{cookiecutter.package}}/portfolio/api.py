"""Room: event loop. Awaits upstreams, submits jobs; never computes and never blocks."""

from collections.abc import Iterable
from statistics import median
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from pydantic import BaseModel, Field, StringConstraints, field_validator

from offload.access import caller
from offload.fanout import Call, Outcome, SentRequest, Upstream, gather
from offload.jobs import Idempotency, JobView, accepted, repeated, submit
from offload.json_integer import Integer
from offload.problems import Problem

from .jobs import RiskParams, risk
from .upstreams import QUOTES, REFERENCE, Prices, Volatilities, northbank, riskline

router = Router(tags=["portfolio"])

# Seconds for all sources together. A source that takes longer is left out, and its status says so.
ALL_SOURCES_SECONDS = 1.0

Symbol = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9.]{1,12}$")]

# The computing squares it, and 1e308 squared is infinite.
Quantity = Annotated[float, Field(ge=-1e9, le=1e9, strict=True)]


class QuoteQuery(BaseModel):
    symbols: list[Symbol] = Field(
        description="separated by commas, such as ACME,GLOBEX", min_length=1, max_length=50
    )

    @field_validator("symbols", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [symbol for part in value for symbol in part.split(",")]


class Quotes(BaseModel):
    """The median price of each symbol, and how each source answered."""

    quotes: dict[str, float]
    unknown: list[str] = Field(description="symbols that no source knows")
    sources: dict[str, dict[str, Any]]
    requests: dict[str, list[SentRequest]] = Field(
        description="every request to each source: the first one, its retries, a hedged one"
    )


class RiskRequest(BaseModel):
    holdings: dict[Symbol, Quantity] = Field(
        min_length=1, max_length=50, description="symbol to quantity"
    )
    horizon_days: Integer = Field(10, ge=1, le=252)
    simulations: Integer = Field(200_000, ge=1_000, le=50_000_000)
    seed: Integer = Field(7, ge=-(2**63), lt=2**63)


def _price_calls(sources: Iterable[Upstream], symbols: Iterable[str]) -> dict[str, Call[Any]]:
    """What to ask each source. `gather` sends it."""
    return {
        source.name: source.get_json("/prices", params={"symbols": ",".join(symbols)}).into(Prices)
        for source in sources
    }


def _medians(outcomes: Iterable[Outcome[Any]], symbols: Iterable[str]) -> dict[str, float]:
    """The median price of each symbol that some source knows."""
    answers: list[Prices] = [outcome.value for outcome in outcomes if outcome.value]
    medians: dict[str, float] = {}
    for symbol in symbols:
        prices = [answer.prices[symbol] for answer in answers if symbol in answer.prices]
        if prices:
            medians[symbol] = round(median(prices), 2)
    return medians


@router.get("/quotes", response=Quotes, summary="Prices from every source at once")
async def quotes(request: HttpRequest, query: Query[QuoteQuery]) -> Quotes:
    outcomes = await gather(
        _price_calls(QUOTES, query.symbols),
        required=[northbank.name],
        within=ALL_SOURCES_SECONDS,
    )
    medians = _medians(outcomes.values(), query.symbols)
    unknown = [symbol for symbol in query.symbols if symbol not in medians]
    return Quotes(
        quotes=medians,
        unknown=unknown,
        sources=outcomes.sources(),
        requests=outcomes.requests(),
    )


@router.post(
    "/risk",
    response={202: JobView},
    summary="Value at risk: sources asked now, computed by a worker",
)
async def post_risk(request: HttpRequest, body: RiskRequest) -> HttpResponse:
    owner, idempotency = caller(request), Idempotency.of(request)
    job = await repeated(risk, owner=owner, idempotency=idempotency)
    if job is None:
        job = await submit(risk, await _params(body), owner=owner, idempotency=idempotency)
    return await accepted(job)


async def _params(body: RiskRequest) -> RiskParams:
    """What the job needs: the request, with today's prices and volatilities.

    Raises:
        Problem: 503, a source failed; 422, a symbol has no price or no volatility.
    """
    calls = _price_calls(REFERENCE, body.holdings)
    calls[riskline.name] = riskline.get_json(
        "/volatilities", params={"symbols": ",".join(body.holdings)}
    ).into(Volatilities)
    outcomes = await gather(calls, required=calls, within=ALL_SOURCES_SECONDS)

    answer: Any = outcomes[riskline.name].value
    volatilities = answer.volatilities
    prices = _medians([outcomes[source.name] for source in REFERENCE], body.holdings)
    unknown = [each for each in body.holdings if each not in prices or each not in volatilities]
    if unknown:
        raise Problem(422, f"No source knows {', '.join(unknown)}: leave them out.")
    return RiskParams(**body.model_dump(), prices=prices, volatilities=volatilities)
