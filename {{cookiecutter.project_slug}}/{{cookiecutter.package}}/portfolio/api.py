"""Room: event loop. Awaits upstreams, submits jobs; never computes and never blocks."""

from collections.abc import Iterable
from statistics import median
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Schema
from pydantic import Field, StringConstraints, field_validator

from offload.access.bearer import caller
from offload.fanout import Outcomes, gather
from offload.jobs.api import JobView, accepted
from offload.jobs.submit import IdempotencyKey, repeated, submit

from .jobs import RiskParams, risk
from .upstreams import PRICE_SOURCES, northbank, riskline

router = Router(tags=["portfolio"])

BUDGET = 1.0  # seconds for all sources together; who is slower is left out, and said to be

Symbol = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9.]{1,12}$")]


class QuoteQuery(Schema):
    symbols: list[Symbol] = Field(description="separated by commas, such as ACME,GLOBEX", min_length=1, max_length=50)

    @field_validator("symbols", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [symbol for part in value for symbol in part.split(",")]


class Quotes(Schema):
    """One price a symbol, the median of the sources that answered, and what became of each source."""

    quotes: dict[str, float]
    sources: dict[str, dict[str, Any]]


class RiskRequest(Schema):
    holdings: dict[Symbol, float] = Field(min_length=1, max_length=50, description="symbol to quantity")
    horizon_days: int = Field(10, ge=1, le=252)
    simulations: int = Field(200_000, ge=1_000, le=50_000_000)
    seed: int = 7


async def _ask(symbols: Iterable[str], *, with_risk: bool = False) -> Outcomes:
    query = {"symbols": ",".join(symbols)}
    calls = {source.name: source.get_json("/prices", params=query) for source in PRICE_SOURCES}
    required = {northbank.name}
    if with_risk:
        calls[riskline.name] = riskline.get_json("/volatilities", params=query)
        required.add(riskline.name)
    return await gather(calls, required=required, within=BUDGET)


def _prices(outcomes: Outcomes, symbols: Iterable[str]) -> dict[str, float]:
    answers = [outcomes[source.name].value["prices"] for source in PRICE_SOURCES if outcomes[source.name].value]
    return {symbol: round(median(answer[symbol] for answer in answers), 2) for symbol in symbols}


@router.get("/quotes", response=Quotes, summary="Prices from every source at once")
async def quotes(request: HttpRequest, query: Query[QuoteQuery]) -> Quotes:
    outcomes = await _ask(query.symbols)
    return Quotes(quotes=_prices(outcomes, query.symbols), sources=outcomes.sources())


@router.post("/risk", response={202: JobView}, summary="Value at risk: sources asked now, computed by a worker")
async def post_risk(request: HttpRequest, body: RiskRequest) -> HttpResponse:
    owner, idempotency = caller(request), IdempotencyKey.of(request)
    job = await repeated(risk, owner=owner, idempotency=idempotency)
    if job is None:
        outcomes = await _ask(body.holdings, with_risk=True)
        params = RiskParams(
            **body.dict(),
            prices=_prices(outcomes, body.holdings),
            volatilities=outcomes[riskline.name].value["volatilities"],
        )
        job = await submit(risk, params, owner=owner, idempotency=idempotency)
    return await accepted(job)
