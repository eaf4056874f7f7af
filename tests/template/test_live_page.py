"""The live page of `make demo`, in a real browser: what people see, and what must not happen."""

import inspect
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from . import axe
from .running_demo import Demo, processes

pytestmark = pytest.mark.timeout(900)

# A job waits for the CPU where other programs keep the machine busy.
PATIENCE_MS = 120_000
DESKTOP, PHONE = (1240, 900), (375, 800)
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
]
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail("REQUIRE_BROWSER is set and there is no chromium on this machine")
        pytest.skip("NO CHROMIUM ON THIS MACHINE: the live page was not looked at")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def demo(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    running = Demo(tmp_path_factory.mktemp("live"))
    with running.client:
        yield running
    running.interrupt()
    running.process.wait(60)


@pytest.fixture
def open_page(demo: Demo, browser: Browser) -> Iterator[Open]:
    """Opens the page. Every error of its scripts and every request to another host fails the test.

    `errors=` is a pattern of errors that the test causes itself, and `script=` runs before those of
    the page.
    """
    problems: list[str] = []
    patterns: list[str] = []
    contexts = []

    def opened(*, errors: str = "^$", script: str = "", **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        patterns.append(errors)
        context.add_init_script(script)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console",
            lambda said: problems.append(said.text) if said.type in ("error", "warning") else None,
        )
        page.on("request", lambda asked: check_host(asked.url))
        page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
        page.goto(demo.address)
        page.wait_for_selector("#connection.live")
        return page

    def check_host(url: str) -> None:
        if urlsplit(url).netloc != urlsplit(demo.address).netloc:
            problems.append(f"a request to another host: {url}")

    yield opened
    for context in contexts:
        context.close()
    unexpected = [each for each in problems if not any(re.search(p, each) for p in patterns)]
    assert unexpected == []


def until(page: Page, condition: str, argument: Any = None) -> None:
    """Wait for a condition in JavaScript; `wait_for_function` would need `unsafe-eval`."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not page.evaluate(condition, argument):
        assert time.monotonic() < deadline, f"{condition}\n{page.inner_text('body')}"
        page.wait_for_timeout(100)


def cancel_all(demo: Demo) -> None:
    """A test leaves no job behind that computes while the next one waits."""
    for status in ("queued", "running"):
        for job in demo.client.get("/api/jobs", params={"status": status}).json()["jobs"]:
            demo.client.delete(f"/api/jobs/{job['id']}")
            demo.until(f"/api/jobs/{job['id']}", "cancelled", "succeeded")


def test_the_waterfall_has_a_bar_for_each_request_and_a_retry_is_one(open_page: Open) -> None:
    page = open_page()
    page.wait_for_selector("#waterfall li.ok")
    assert page.locator("#waterfall li").count() == 5
    assert page.locator("#quotes tbody tr").count() == 3
    assert "Risk Desk" in page.title()

    # One source fails for three of ten requests.
    page.get_by_label("again each second").check()
    until(
        page,
        "[...document.querySelectorAll('#waterfall li.ok')]"
        ".some((row) => row.querySelector('.error + .retry'))",
    )


HEDGED = """{"quotes": {"ACME": 12.5}, "unknown": [],
 "sources": {"harbor": {"status": "ok", "ms": 150, "attempts": 1, "hedged": true, "age": 0}},
 "requests": {"harbor": [
  {"start_ms": 0, "ms": 150, "status": "cancelled", "is_hedge": false, "error": null},
  {"start_ms": 100, "ms": 50, "status": "ok", "is_hedge": true, "error": null}]}}"""


def test_a_hedged_request_is_a_bar_below_the_slow_one(open_page: Open) -> None:
    page = open_page()
    # The page asks by itself when it is opened. That answer would take the place of this one.
    page.wait_for_selector("#waterfall li.ok")
    page.route("**/api/portfolio/quotes*", lambda route: route.fulfill(body=HEDGED))
    page.get_by_role("button", name="Ask the sources").click()
    page.wait_for_selector("#waterfall rect.hedge", state="attached")
    slow, hedge = (
        page.locator(f"#waterfall rect.{kind}").evaluate(
            "({x, y, width}) => [x, y, width].map((each) => each.baseVal.value)"
        )
        for kind in ("request", "hedge")
    )
    assert hedge[1] > slow[1], "the hedged request is not below the slow one"
    # It began after two thirds of the time.
    assert (round(hedge[0]), round(hedge[2]), round(slow[2])) == (667, 333, 1000)
    label = page.locator("#waterfall svg").get_attribute("aria-label")
    assert label == ("harbor: request cancelled after 150 ms; hedge answered after 50 ms")
    assert "150 ms ok, hedged" in page.inner_text("#waterfall li")


def test_several_jobs_are_watched_at_once_and_one_is_cancelled_by_keyboard(
    open_page: Open, demo: Demo
) -> None:
    page = open_page()
    page.get_by_label("Simulations").fill("50000000")
    for _ in range(2):
        page.get_by_role("button", name="Compute the risk").focus()
        page.keyboard.press("Enter")
    until(page, "document.querySelectorAll('#jobs .running, #jobs .queued').length === 2")
    # Both may be divided before a part of either begins, and the newest is the first card. The card
    # of a running job has a box for each of its parts.
    until(
        page,
        "[...document.querySelectorAll('#jobs .running progress')].some((bar) => bar.value > 0)",
    )
    assert page.locator("#jobs .running .parts .empty").count() >= 8
    assert re.search(r"\d of 8 parts", page.inner_text("#jobs"))
    until(page, "document.querySelector('#busy').textContent === '2 of 2'")

    # A button keeps its focus although each second brings new states.
    names = page.locator("#jobs li strong").all_inner_texts()
    cancel = page.get_by_role("button", name=f"Cancel {names[0]}")
    cancel.focus()
    lag = page.evaluate("document.querySelector('#chart .lag').getAttribute('d')")
    until(
        page, "(before) => document.querySelector('#chart .lag').getAttribute('d') !== before", lag
    )
    assert cancel.evaluate("(button) => button === document.activeElement")
    page.keyboard.press("Enter")
    page.wait_for_selector("#jobs li.cancelled")
    until(
        page,
        "(name) => document.querySelector('#announced').textContent === `${name} is cancelled.`",
        names[0],
    )
    assert page.locator("#jobs li.cancelled strong").inner_text() == names[0]
    assert page.locator("#jobs li.running, #jobs li.queued").count() == 1
    cancel_all(demo)


def test_a_finished_job_shows_its_histogram_also_after_a_reload(
    open_page: Open, demo: Demo
) -> None:
    page = open_page()
    page.get_by_label("Simulations").fill("1000000")
    page.get_by_role("button", name="Compute the risk").click()
    page.wait_for_selector("#jobs li.succeeded")
    page.wait_for_selector("#result:not([hidden]) rect", state="attached")
    assert "loses over" in page.inner_text("#caption")
    page.reload()
    page.wait_for_selector("#jobs li.succeeded")
    page.wait_for_selector("#result:not([hidden]) rect.tail", state="attached")


def test_the_button_blocks_the_loop_so_that_the_line_jumps_and_the_guard_names_the_view(
    open_page: Open, demo: Demo
) -> None:
    page = open_page()
    page.get_by_role("button", name="Block the event loop").click()
    said = page.locator("#blocks li", has_text="block_the_loop").first.inner_text()
    named = re.search(
        r"(risk_desk/portfolio/live\.py):(\d+) block_the_loop blocked the event loop for "
        r"([\d,]+) ms during POST /api/portfolio/live/block",
        said,
    )
    assert named, said
    lines = (demo.project / named[1]).read_text().splitlines()
    body = inspect.getblock([f"{line}\n" for line in lines[first_line(lines) :]])
    assert first_line(lines) < int(named[2]) <= first_line(lines) + len(body)

    # Some time of a block is not its own on a busy machine, but most of a second of CPU is.
    assert int(named[3].replace(",", "")) >= 500
    until(
        page,
        "Number(document.querySelector('#chart').ariaLabel.match(/([\\d,]+) ms/)[1]"
        ".replace(',', '')) >= 500",
    )


def first_line(lines: list[str]) -> int:
    return next(n for n, line in enumerate(lines) if line.startswith("async def block_the_loop"))


def test_a_page_that_loses_the_server_says_so_and_goes_on_by_itself(
    open_page: Open, demo: Demo
) -> None:
    page = open_page(errors=r"Failed to load resource|net::ERR_")
    asked: list[str] = []
    page.on("request", lambda each: asked.append(each.url) if "/live" in each.url else None)
    for pid, command in processes().items():
        if "offload.serving" in command and "offload_dev.launcher.reloader" not in command:
            os.kill(pid, signal.SIGKILL)
    page.wait_for_selector("#connection.lost")
    # 1 s at first. On a busy machine the page may be at its second try.
    assert re.search(r"The next try is in \d+ s\.", page.inner_text("#connection"))
    page.wait_for_selector("#connection.live")
    until(page, "document.querySelector('#chart .lag').getAttribute('d').includes('M')")
    assert len(asked) < 60, "the page asks without pauses"
    demo.ready()


def test_a_wrong_token_is_told_and_the_right_one_connects_at_once(open_page: Open) -> None:
    page = open_page(errors="401")
    page.get_by_label("Token").fill("wrong")
    page.keyboard.press("Tab")
    page.wait_for_selector("#connection.lost")
    assert "Authorization: Bearer" in page.inner_text("#connection")
    page.get_by_role("button", name="Ask the sources").click()
    page.wait_for_selector("#error:not([hidden])")
    assert "Authorization: Bearer" in page.inner_text("#error")
    page.get_by_label("Token").fill("dev-token")
    page.keyboard.press("Tab")
    page.wait_for_selector("#connection.live")


def test_only_files_of_this_host_run_or_style_the_page(open_page: Open, demo: Demo) -> None:
    policy = demo.client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy

    page = open_page(errors="Content Security Policy|TrustedScript")
    page.evaluate(
        "() => { const script = document.createElement('script');"
        "  try { script.textContent = 'window.injected = true'; } catch (refused) {}"
        "  document.body.append(script);"
        "  document.body.setAttribute('style', 'opacity: 0'); }"
    )
    assert page.evaluate("window.injected") is None
    assert page.evaluate("getComputedStyle(document.body).opacity") == "1"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it_on_desktop_and_phone_by_light_and_dark(
    open_page: Open, demo: Demo, scheme: str, tmp_path: Path
) -> None:
    page = open_page(color_scheme=scheme, bypass_csp=True)
    location = demo.risk(simulations=50_000_000)
    page.wait_for_selector("#jobs li.running")
    page.get_by_role("button", name="Block the event loop").click()
    page.wait_for_selector("#blocks li")
    page.wait_for_selector("#waterfall li.ok")
    pictures = Path(os.environ.get("SCREENSHOTS", tmp_path))
    for name, (width, height) in (("desktop", DESKTOP), ("phone", PHONE)):
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        # The bars of the waterfall keep a width at which they can be compared.
        assert page.evaluate("document.querySelector('#waterfall .track').clientWidth") > 100
        page.screenshot(path=pictures / f"page-{name}-{scheme}.png", full_page=True)
        assert axe.violations(page) == []
    demo.client.delete(location)
    demo.until(location, "cancelled")


def test_without_javascript_the_page_says_that_it_needs_it(browser: Browser, demo: Demo) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(demo.address)
    assert "needs JavaScript" in page.inner_text("main")
    assert not page.locator("#connection").is_visible()
    context.close()


def test_every_control_is_reached_by_tab_in_the_order_of_the_page(open_page: Open) -> None:
    page = open_page()
    reached = []
    page.evaluate("document.activeElement.blur()")
    for _ in range(40):
        page.keyboard.press("Tab")
        found = page.evaluate("document.activeElement.id || document.activeElement.textContent")
        if found in reached:
            break
        reached.append(found)
    controls = ["holdings", "simulations", "seed", "token", "block", "ask", "again", "compute"]
    assert [each for each in reached if each in controls] == controls
    assert {"API", "Admin", "Flower"} <= set(reached)
    outline = page.evaluate(
        "(document.querySelector('#compute').focus({focusVisible: true}),"
        " getComputedStyle(document.querySelector('#compute')).outlineStyle)"
    )
    assert outline == "solid"
