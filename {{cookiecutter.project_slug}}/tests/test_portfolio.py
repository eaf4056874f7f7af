"""What the example feature promises."""

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import Any

import pytest

from offload.fanout.http import httpx
from offload_dev.pytest.running_service import RunningService

from {{ cookiecutter.package }}.portfolio import compute, live, upstreams

RISK: dict[str, Any] = {
    "holdings": {"ACME": 10, "GLOBEX": 3},
    "horizon_days": 10,
    "simulations": 50_000,
    "seed": 7,
}


def _quiet(fraction: float, message: str = "") -> None:
    pass


def test_the_same_seed_gives_the_same_counts() -> None:
    first, again, other = (
        compute.simulate([100.0], [0.3], 10, 5_000, seed, _quiet) for seed in (1, 1, 2)
    )
    assert first == again != other
    assert sum(first) == 5_000


def test_value_at_risk_is_that_of_the_normal_distribution_for_small_moves() -> None:
    spread = compute.deviation([100.0], [0.1], 1)
    summary = compute.summarise(compute.simulate([100.0], [0.1], 1, 200_000, 1, _quiet), spread)
    assert summary["var_95"] == pytest.approx(1.645 * spread, rel=0.02)
    assert summary["var_99"] == pytest.approx(2.326 * spread, rel=0.03)


def test_quotes_answer_within_their_deadline_although_one_source_is_slow(
    service: RunningService,
) -> None:
    started = time.monotonic()
    answer = service.client.get("/api/portfolio/quotes", params={"symbols": "ACME,GLOBEX"})
    assert answer.status_code == 200
    # The slow source takes 4 seconds.
    assert time.monotonic() - started < 3.0
    document = answer.json()
    assert set(document["quotes"]) == {"ACME", "GLOBEX"}
    assert document["sources"]["northbank"]["status"] == "ok"
    assert document["sources"]["turtle"]["status"] == "timeout"


def test_wrong_symbols_are_told_in_a_sentence(service: RunningService) -> None:
    answer = service.client.get("/api/portfolio/quotes", params={"symbols": "acme;drop"})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("query.symbols")


def test_what_some_sources_do_not_know_comes_from_the_others(service: RunningService) -> None:
    symbols = "ACME,NORTHONLY,NOWHERE"
    answer = service.client.get("/api/portfolio/quotes", params={"symbols": symbols})
    assert answer.status_code == 200
    document = answer.json()
    assert set(document["quotes"]) == {"ACME", "NORTHONLY"}
    assert document["unknown"] == ["NOWHERE"]


def test_a_job_with_a_symbol_that_nobody_knows_is_refused(service: RunningService) -> None:
    for symbol, status in (("NOWHERE", 422), ("NORTHONLY", 202)):
        answer = service.client.post("/api/portfolio/risk", json=RISK | {"holdings": {symbol: 1}})
        assert answer.status_code == status
        assert status == 202 or symbol in answer.json()["detail"]


@pytest.mark.parametrize("prices", [[], {"prices": {"ACME": "dear"}}, {"prices": {"ACME": -1}}])
async def test_a_source_that_answers_something_else_has_failed(prices: object) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=prices)

    with upstreams.eastdata.using(httpx.MockTransport(answer)):
        outcome = await upstreams.eastdata.get_json("/prices").into(upstreams.Prices).outcome()
    assert outcome.status == "error"


@pytest.mark.parametrize(
    "body",
    [
        "{",
        '{"holdings": {}}',
        '{"holdings": {"ACME": 1}, "simulations": 1}',
        '{"holdings": {"ACME": 1e308}}',
    ],
)
def test_a_malformed_body_is_a_problem(service: RunningService, body: str) -> None:
    answer = service.client.post("/api/portfolio/risk", content=body)
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_job_reports_and_succeeds_and_the_same_seed_gives_the_same_result(
    service: RunningService,
) -> None:
    results = []
    for _ in range(2):
        accepted = service.client.post("/api/portfolio/risk", json=RISK)
        assert accepted.status_code == 202
        location = accepted.headers["location"]
        with service.client.stream("GET", f"{location}/events") as stream:
            names = [
                line.removeprefix("event: ")
                for line in stream.iter_lines()
                if line.startswith("event: ")
            ]
        assert names[0] == "progress"
        assert names[-1] == "succeeded"
        results.append(service.client.get(location).json()["result"])
    assert results[0] == results[1]
    assert sum(results[0]["histogram"]["counts"]) == RISK["simulations"]


def test_a_running_job_can_be_cancelled(service: RunningService) -> None:
    location = service.client.post(
        "/api/portfolio/risk", json=RISK | {"simulations": 50_000_000}
    ).headers["location"]
    with service.client.stream("GET", f"{location}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("data: ") and json.loads(line[6:])["status"] == "running":
                break
    for _ in range(2):
        assert service.client.delete(location).status_code == 202
    ended = service.client.get(location, headers={"Prefer": "wait=20"}).json()
    assert ended["status"] == "cancelled"


def test_an_idempotency_key_gives_one_job_for_one_request(service: RunningService) -> None:
    key = {"Idempotency-Key": f"key-{time.time_ns()}"}
    first, again = (
        service.client.post("/api/portfolio/risk", json=RISK, headers=key) for _ in range(2)
    )
    assert first.json()["id"] == again.json()["id"]
    other = service.client.post("/api/portfolio/risk", json=RISK | {"seed": 8}, headers=key)
    assert other.status_code == 422


def test_jobs_are_listed_newest_first_and_by_page(service: RunningService) -> None:
    made = [
        service.client.post("/api/portfolio/risk", json=RISK | {"seed": seed}).json()["id"]
        for seed in range(3)
    ]
    first = service.client.get("/api/jobs", params={"limit": 2}).json()
    second = service.client.get("/api/jobs", params={"limit": 2, "cursor": first["next"]}).json()
    listed = [job["id"] for job in first["jobs"] + second["jobs"]]
    assert listed[:3] == made[::-1]


def _live_states(service: RunningService, states: int) -> list[dict[str, Any]]:
    """The first states of a new stream of the live page."""
    found: list[dict[str, Any]] = []
    with service.client.stream("GET", "/api/portfolio/live") as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                found.append(json.loads(line[6:]))
                if len(found) == states:
                    break
    return found


def test_the_live_stream_tells_of_the_process_and_of_the_callers_jobs(
    service: RunningService,
) -> None:
    made = service.client.post("/api/portfolio/risk", json=RISK | {"simulations": 300_000}).json()
    service.client.get(f"/api/jobs/{made['id']}", headers={"Prefer": "wait=20"})
    first, second = _live_states(service, 2)
    assert first["broker"] is True
    assert second["lag_ms"] >= 0
    assert {"cpu", "default"} <= {queue for each in first["workers"] for queue in each["queues"]}
    assert set(first["breakers"]) >= {each.name for each in upstreams.QUOTES}
    job = first["jobs"][0]
    assert (job["id"], job["kind"]) == (made["id"], "portfolio.risk")
    assert len(job["parts"]) == 3
    assert len(first["jobs"]) <= live.SHOWN_JOBS


def _login(service: RunningService, name: str) -> dict[str, str]:
    """The header of a token for another owner."""
    command = [sys.executable, "manage.py", "createtoken", name]
    made = subprocess.check_output(command, env=service.environment, text=True)
    return {"Authorization": f"Bearer {made.strip()}"}


def test_a_live_page_too_many_is_refused_and_a_closed_one_gives_its_place_back(
    service: RunningService,
) -> None:
    with ExitStack() as pages:
        # An iterator that is dropped would close its stream.
        streams = []

        def open_pages(headers: dict[str, str]) -> None:
            for _ in range(live.MAX_PAGES_OF_OWNER):
                stream = service.client.stream("GET", "/api/portfolio/live", headers=headers)
                streams.append(pages.enter_context(stream).iter_lines())
                assert next(streams[-1]) == "event: state"

        def refusal(headers: dict[str, str]) -> tuple[int, str]:
            refused = service.client.get("/api/portfolio/live", headers=headers)
            return refused.status_code, refused.headers["retry-after"]

        # One caller takes no more than half of the places.
        assert live.MAX_OPEN_PAGES == 2 * live.MAX_PAGES_OF_OWNER
        ours, theirs, third = (_login(service, name) for name in ("ann", "ben", "cem"))
        open_pages(ours)
        assert refusal(ours) == (429, "5")
        open_pages(theirs)
        assert refusal(third) == (503, "5")

    deadline = time.monotonic() + 20
    while True:
        with service.client.stream("GET", "/api/portfolio/live") as stream:
            if stream.status_code == 200:
                break
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_production_has_no_view_that_blocks_the_loop_and_names_no_file(
    service: RunningService,
) -> None:
    assert service.client.post("/api/portfolio/live/block").status_code == 404
    assert _live_states(service, 1)[0]["blocks"] == []
    page = service.client.get("/")
    for told in ("Block the event loop", "dev-token", "Flower"):
        assert told not in page.text
    assert "unsafe" not in page.headers["content-security-policy"]
    assert httpx.get(f"{service.address}/api/portfolio/live", trust_env=False).status_code == 401
