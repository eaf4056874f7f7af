"""The live page with an event stream that the test feeds: what comes, and in which order."""

import json
from typing import Any

from playwright.sync_api import Page

# One source answers, however busy the machine is. Without `quotes` the service is asked.
QUOTES = """
window.quotes = JSON.stringify({
  quotes: {}, sources: {harbor: {status: "ok", ms: 1, age: 0}}, requests: {harbor: []},
});
window.asks = 0;
const realFetch = window.fetch;
window.fetch = (path, options) => {
  if (!path.startsWith("/api/portfolio/quotes") || !window.quotes) return realFetch(path, options);
  window.asks++;
  return Promise.resolve(new Response(window.quotes));
};
"""
# The page's stream is one of the browser's own. After a loss it begins with the last state again.
FED = (
    QUOTES
    + """
window.last = {lag_ms: 0, breakers: {}, blocks: [], waiting: {}, broker: true, workers: []};
window.last.jobs = [];
window.states = 0;
window.tell = (jobs) => {
  window.states++;
  window.last = {...window.last, jobs};
  window.stream?.enqueue(new TextEncoder().encode(`data: ${JSON.stringify(window.last)}\n\n`));
};
const fetchWithQuotes = window.fetch;
window.fetch = (path, options) => {
  if (path !== "/api/portfolio/live") return fetchWithQuotes(path, options);
  if (window.refused) {
    return Promise.resolve(new Response(JSON.stringify(window.refused), window.refused));
  }
  const start = (stream) => {
    window.stream = stream;
    options.signal.addEventListener("abort", () => {
      window.stream = null;
      stream.error(options.signal.reason);
    });
    window.tell(window.last.jobs);
  };
  return Promise.resolve(new Response(new ReadableStream({ start })));
};
"""
)


def job(number: int, status: str = "running", **more: Any) -> dict[str, Any]:
    """A job as the stream lists it. One with a larger number is newer."""
    return {
        "id": f"{number:08}-0000-4000-8000-000000000000",
        "kind": "portfolio.risk",
        "status": status,
        "progress": 0.5,
        "message": "",
        "error": None,
        "created_at": f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z",
        "result_url": None,
        "blocked_by": None,
        "parts": [],
        "version": 1,
    } | more


def tell(page: Page, *jobs: dict[str, Any]) -> None:
    """The stream sends a state with these jobs."""
    page.evaluate("(jobs) => window.tell(jobs)", list(jobs))


def accept(page: Page, *jobs: dict[str, Any]) -> None:
    """The service accepts these jobs, one for each click."""
    answers = iter(jobs)

    def answer(route: Any) -> None:
        found = {key: value for key, value in next(answers).items() if key != "version"}
        route.fulfill(status=202, body=json.dumps(found | {"status": "queued"}))

    page.route("**/api/portfolio/risk", answer)
    for each in jobs:
        with page.expect_response("**/api/portfolio/risk"):
            page.get_by_role("button", name="Compute the risk").click()
        page.wait_for_selector(card(each))


def card(one: dict[str, Any], status: str = "") -> str:
    """The selector of a job's card."""
    return f"#jobs li{status and '.'}{status}:has(strong:text-is('portfolio.risk {one['id'][:8]}'))"


def refuse(page: Page, path: str, status: int, detail: str) -> None:
    """The service refuses what is sent to a path."""
    body = json.dumps({"status": status, "detail": detail})
    page.route(path, lambda route: route.fulfill(status=status, body=body))
