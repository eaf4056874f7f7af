"""Room: event loop. Awaits upstreams, submits jobs; never computes and never blocks."""

from collections.abc import Iterable
from statistics import median
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from pydantic import BaseModel, Field, StringConstraints, field_validator

from offload.access import caller
from offload.fanout import Call, Outcomes, Upstream, gather
from offload.jobs import Idempotency, JobView, accepted, repeated, submit

from .jobs import RiskParams, risk
from .upstreams import QUOTES, REFERENCE, northbank, riskline

router = Router(tags=["portfolio"])

# Seconds for all sources together; who is slower is left out, and said to be.
BUDGET = 1.0

Symbol = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9.]{1,12}$")]


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
    sources: dict[str, dict[str, Any]]


class RiskRequest(BaseModel):
    holdings: dict[Symbol, float] = Field(
        min_length=1, max_length=50, description="symbol to quantity"
    )
    horizon_days: int = Field(10, ge=1, le=252)
    simulations: int = Field(200_000, ge=1_000, le=50_000_000)
    seed: int = 7


def _ask(sources: Iterable[Upstream], symbols: Iterable[str]) -> dict[str, Call[Any]]:
    return {
        source.name: source.get_json("/prices", params={"symbols": ",".join(symbols)})
        for source in sources
    }


def _medians(outcomes: Outcomes, symbols: Iterable[str]) -> dict[str, float]:
    answers = [outcome.value["prices"] for outcome in outcomes.values() if outcome.value]
    return {symbol: round(median(prices[symbol] for prices in answers), 2) for symbol in symbols}


@router.get("/quotes", response=Quotes, summary="Prices from every source at once")
async def quotes(request: HttpRequest, query: Query[QuoteQuery]) -> Quotes:
    outcomes = await gather(_ask(QUOTES, query.symbols), required=[northbank.name], within=BUDGET)
    return Quotes(quotes=_medians(outcomes, query.symbols), sources=outcomes.sources())


@router.post(
    "/risk",
    response={202: JobView},
    summary="Value at risk: sources asked now, computed by a worker",
)
async def post_risk(request: HttpRequest, body: RiskRequest) -> HttpResponse:
    owner, idempotency = caller(request), Idempotency.of(request)
    job = await repeated(risk, owner=owner, idempotency=idempotency)
    if job is None:
        calls = _ask(REFERENCE, body.holdings)
        calls[riskline.name] = riskline.get_json(
            "/volatilities", params={"symbols": ",".join(body.holdings)}
        )
        outcomes = await gather(calls, required=calls, within=BUDGET)
        volatilities: Any = outcomes.pop(riskline.name).value
        prices = _medians(outcomes, body.holdings)
        params = RiskParams(
            **body.model_dump(), prices=prices, volatilities=volatilities["volatilities"]
        )
        job = await submit(risk, params, owner=owner, idempotency=idempotency)
    return await accepted(job)
