"""What the live page does with what comes late, twice, in another order, or with hostile text."""

from typing import Any

import pytest

from . import axe
from .fed_page import FED, QUOTES, accept, card, job, refuse, tell
from .test_live_page import PHONE, Open, browser, demo, open_page, until

__all__ = ["browser", "demo", "open_page"]

pytestmark = pytest.mark.timeout(900)

# What counts how often a region is read aloud.
COUNT_CHANGES = """(id) => {
  window.changes = 0;
  const counted = {childList: true, attributes: true, characterData: true, subtree: true};
  new MutationObserver(() => window.changes++).observe(document.getElementById(id), counted);
}"""


def test_a_cancel_that_fails_can_be_tried_again(open_page: Open) -> None:
    page = open_page(errors="503", script=FED)
    tell(page, job(1))
    refuse(page, "**/api/jobs/*", 503, "The database is away.")
    cancel = page.get_by_role("button", name="Cancel")
    cancel.click()
    page.wait_for_selector("#error:not([hidden])")
    assert page.inner_text("#error") == "The database is away."
    until(page, "!document.querySelector('#jobs button').disabled")
    with page.expect_request("**/api/jobs/*"):
        cancel.click()


def test_jobs_that_have_fallen_off_the_list_are_not_shown_for_ever(open_page: Open) -> None:
    page = open_page(script=FED)
    jobs = [job(number) for number in range(1, 10)]
    accept(page, *jobs)
    assert page.locator("#jobs li").count() == 6
    tell(page, *jobs[:-7:-1])
    page.wait_for_selector(card(jobs[-1], "running"))
    accept(page, job(10))
    tell(page, *[job(number) for number in range(16, 10, -1)])
    page.wait_for_selector(card(job(16)))
    assert page.locator("#jobs li").count() == 6


def test_an_answer_that_comes_after_the_event_makes_no_second_card(open_page: Open) -> None:
    page = open_page(script=FED)
    tell(page, job(1))
    page.wait_for_selector(card(job(1), "running"))
    page.evaluate(COUNT_CHANGES, "announced")
    accept(page, job(1))
    page.wait_for_selector(card(job(1), "running"))
    assert (page.locator("#jobs li").count(), page.evaluate("window.changes")) == (1, 0)


def test_the_token_of_somebody_else_shows_nothing_of_the_one_before(open_page: Open) -> None:
    page = open_page(script=FED)
    tell(page, job(1))
    accept(page, job(2))
    page.evaluate("document.getElementById('result').hidden = false")
    page.evaluate("window.last.jobs = []")
    page.get_by_label("Token").fill("another")
    page.keyboard.press("Tab")
    until(page, "!document.querySelector('#jobs li')")
    assert page.locator("#result").is_hidden()


def test_two_jobs_that_end_at_once_are_both_read_aloud(open_page: Open) -> None:
    page = open_page(script=FED)
    tell(page, job(2), job(1))
    page.wait_for_selector(card(job(1), "running"))
    tell(page, job(2, "failed", version=2), job(1, "cancelled", version=2))
    page.wait_for_selector(card(job(1), "cancelled"))
    said = "portfolio.risk 00000002 is failed. portfolio.risk 00000001 is cancelled."
    assert page.text_content("#announced") == said


def test_an_error_stays_until_the_user_acts_and_is_read_aloud_once(open_page: Open) -> None:
    page = open_page(errors="422", script=FED)
    refuse(page, "**/api/portfolio/risk", 422, "No source knows ACME.")
    page.get_by_role("button", name="Compute the risk").click()
    page.wait_for_selector("#error:not([hidden])")
    page.evaluate(COUNT_CHANGES, "error")
    page.get_by_label("again each second").check()
    asks = page.evaluate("window.asks")
    until(page, "(asks) => window.asks > asks + 2", asks)
    assert page.inner_text("#error") == "No source knows ACME."

    refuse(page, "**/api/portfolio/quotes*", 422, "There are too many.")
    quotes = page.evaluate("window.quotes")
    page.evaluate("window.quotes = ''")
    # The error of what happens by itself is shown after the user has acted again.
    for _ in range(2):
        with page.expect_response("**/api/portfolio/quotes*"):
            pass
    assert page.inner_text("#error") == "No source knows ACME."
    page.unroute("**/api/portfolio/risk")
    accept(page, job(1))
    until(page, "document.querySelector('#error').textContent === 'There are too many.'")
    page.evaluate(COUNT_CHANGES, "error")
    for _ in range(3):
        with page.expect_response("**/api/portfolio/quotes*"):
            pass
    assert page.evaluate("window.changes") == 0
    page.evaluate("(quotes) => (window.quotes = quotes)", quotes)
    page.wait_for_selector("#error", state="hidden")


def test_the_result_that_was_asked_for_last_is_drawn(open_page: Open) -> None:
    page = open_page(script=FED)
    result = """{"value": 1, "var_95": 1, "var_99": 1, "simulations": %d,
                 "histogram": {"low": -2, "high": 2, "counts": [1, 2]}}"""
    late: list[Any] = []
    page.route("**/results/1", lambda route: late.append(route))
    page.route("**/results/2", lambda route: route.fulfill(body=result % 2))
    tell(page, *[job(each, "succeeded", result_url=f"/results/{each}") for each in (2, 1)])
    page.wait_for_selector("#result:not([hidden])")
    first, second = (
        page.get_by_role("button", name=f"Show result of portfolio.risk 0000000{each}")
        for each in (1, 2)
    )
    with page.expect_request("**/results/1"):
        first.click()
    with page.expect_response("**/results/2"):
        second.click()
    with page.expect_response("**/results/1"):
        late[0].fulfill(body=result % 1)
    page.evaluate("document.getElementById('waterfall').replaceChildren()")
    page.get_by_role("button", name="Ask the sources").click()
    page.wait_for_selector("#waterfall li")
    assert "2 portfolios" in page.inner_text("#caption")


@pytest.mark.parametrize("token", ["two words", "\u043f\u0430\u0440\u043e\u043b\u044c"])
def test_what_is_no_token_is_neither_sent_nor_shown(open_page: Open, token: str) -> None:
    page = open_page(script=QUOTES)
    asked: list[str] = []
    page.on("request", lambda each: asked.append(each.url))
    page.get_by_label("Token").fill(token)
    page.keyboard.press("Tab")
    page.wait_for_selector("#connection.lost")
    assert "a character that no token has. Enter another" in page.inner_text("#connection")
    page.get_by_role("button", name="Ask the sources").click()
    page.wait_for_selector("#error:not([hidden])")
    assert "a character that no token has" in page.inner_text("#error")
    assert (asked, token in page.inner_text("body")) == ([], False)


def test_a_refused_token_is_sent_once(open_page: Open) -> None:
    """The service refuses an address for a minute that sends many wrong tokens."""
    page = open_page(errors="401", script=QUOTES)
    asked: list[str] = []
    page.on("request", lambda each: asked.append(each.url) if "/live" in each.url else None)
    page.get_by_label("Token").fill("wrong")
    page.keyboard.press("Tab")
    page.wait_for_selector("#connection.lost")
    # It was sent again after 1 s, and after 2 s more.
    page.wait_for_timeout(4000)
    # Another tab of the browser is looked at meanwhile.
    for hidden in ("true", "false"):
        page.evaluate(
            f"Object.defineProperty(document, 'hidden', {{value: {hidden}, configurable: true}});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
    page.wait_for_timeout(1000)
    assert len(asked) == 1
    assert page.inner_text("#connection").endswith("Enter another token.")
    page.get_by_label("Token").fill(" dev-token ")
    page.keyboard.press("Tab")
    page.wait_for_selector("#connection.live")


def test_a_block_is_shown_once_also_where_the_servers_clock_is_set_back(open_page: Open) -> None:
    page = open_page(script=FED)
    now, hour = 1_800_000_000, 3600
    for clock, ids in ((now, [1]), (now + hour, [1]), (now - hour, [1, 2])):
        blocks = [{"id": each, "at": clock + each, "sentence": f"block {each}"} for each in ids]
        page.evaluate("(blocks) => { window.last.blocks = blocks; window.tell([]); }", blocks)
        until(page, f"document.querySelector('#blocks').textContent.includes('block {ids[-1]}')")
    # The state after those has been drawn.
    tell(page, job(1))
    page.wait_for_selector(card(job(1), "running"))
    shown = page.locator("#blocks li").all_inner_texts()
    assert [text.split(maxsplit=1)[1] for text in shown] == ["block 2", "block 1"]


# Notes the pauses between two connections, and shortens them. Other timers have other times.
NOTE_PAUSES = """
Math.random = () => %s;
window.pauses = [];
const realSetTimeout = window.setTimeout;
window.setTimeout = (run, ms) => {
  if (ms === 1000 || ms === 8000) return realSetTimeout(run, ms);
  window.pauses.push(Math.round(ms));
  return realSetTimeout(run, 10);
};
"""


@pytest.mark.parametrize(
    ("luck", "retry_after", "pauses"),
    [
        (0.99, "", [990, 1980, 3960, 7920, 9900, 9900]),
        (0.1, "", [100, 200, 400, 800, 1000]),
        (0.3, "7", [300, 7600, 8200, 9400, 10_000]),
        # A browser's timer of more than 24.8 days ends at once.
        (0.3, "9999999", [300, 600_600, 601_200]),
    ],
)
def test_pages_that_lose_the_server_at_once_return_at_random_moments(
    open_page: Open, luck: float, retry_after: str, pauses: list[int]
) -> None:
    """And not before the time that the server says."""
    page = open_page(errors="503", script=NOTE_PAUSES % luck + FED)
    headers = {"Retry-After": retry_after} if retry_after else {}
    refused = {"status": 503, "headers": headers, "detail": "Many pages are open."}
    page.evaluate("(refused) => (window.refused = refused)", refused)
    page.evaluate("window.stream.error(new TypeError('lost'))")
    # A timer of 1000 ms is that of the page's questions, too.
    noted = [pause for pause in pauses if pause != 1000]
    until(page, "(count) => window.pauses.length >= count", len(noted))
    assert page.evaluate("window.pauses")[: len(noted)] == noted
    said = page.inner_text("#connection")
    assert said.startswith("Many pages are open. The next try is in "), said


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_hostile_texts_are_shown_as_they_are_and_fit_the_page(open_page: Open, scheme: str) -> None:
    page = open_page(errors="422", script=FED, color_scheme=scheme, bypass_csp=True)
    html = "<img src=x onerror=\"document.title='hostile'\"><b>\ud800\u0000\u202e"
    long = "x" * 4000
    refuse(page, "**/api/portfolio/risk", 422, html + long)
    page.get_by_role("button", name="Compute the risk").click()
    page.wait_for_selector("#error:not([hidden])")
    tell(
        page,
        job(3, "failed", error=html + long),
        job(2, "cancelled", message=long, kind=long),
        job(1, "queued", blocked_by=html),
    )
    page.wait_for_selector("#jobs li.failed")
    assert "<img src=x onerror=" in page.inner_text("#jobs")
    assert page.locator("#jobs img, #jobs b, #error img").count() == 0
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    assert axe.violations(page) == []
    assert "hostile" not in page.title()
