"""The operations page in a real browser, beside real processes.

`SCREENSHOTS=folder pytest tests/jobs/test_operations_browser.py` keeps pictures to look at.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from .conftest import Lab
from .test_by_hand_staff import pages

QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
)
WIDTHS = {"desktop": 1180, "phone": 375}
# A text of a job, as somebody sends it who wants it to run in the browser of the staff.
HOSTILE = "<script>window.injected = true</script><img src=x onerror='window.injected = true'>"
PERMISSIONS = ("view_job", "change_job", "delete_job", "view_pause", "add_pause")


def browser_or_skip() -> str:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail("REQUIRE_BROWSER is set and there is no chromium on this machine")
        pytest.skip("NO CHROMIUM ON THIS MACHINE: the operations page was not looked at")
    return path


@pytest.fixture
def problems() -> list[str]:
    """Errors of the console, and requests to other hosts."""
    return []


@pytest.fixture
def page(running: Lab, problems: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A page of the service, for a user of the admin who may do everything with jobs."""
    from playwright.sync_api import sync_playwright

    path = browser_or_skip()
    running.web()
    session = pages(*PERMISSIONS).cookies["sessionid"].value
    # Playwright runs an event loop in this thread, in which Django refuses its own calls. The
    # service, which refuses to start so, has started.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(QUIET))
        context = browser.new_context(viewport={"width": WIDTHS["desktop"], "height": 900})
        context.add_cookies([{"name": "sessionid", "value": session, "url": running.address}])
        page = context.new_page()
        page.set_default_timeout(60_000)

        def asked(request: Any) -> None:
            if urlsplit(request.url).hostname != "127.0.0.1":
                problems.append(f"asked for {request.url}")

        def told(message: Any) -> None:
            address = message.location["url"]
            # Django's admin has no icon, and a browser asks for one.
            if message.type == "error" and not address.endswith("/favicon.ico"):
                problems.append(f"{message.text} {address}")

        page.on("request", asked)
        page.on("console", told)
        page.on("pageerror", lambda error: problems.append(str(error)))
        yield page
        browser.close()


def look(page: Any, name: str) -> None:
    """Each width: nothing is wider than the window. With `SCREENSHOTS`, a picture of each look."""
    for device, width in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, device)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            if folder := os.environ.get("SCREENSHOTS"):
                page.screenshot(path=Path(folder) / f"{name}-{device}-{scheme}.png", full_page=True)
    page.set_viewport_size({"width": WIDTHS["desktop"], "height": 900})


def test_the_operations_page_retries_a_failed_job(
    running: Lab, page: Any, problems: list[str]
) -> None:
    from offload.jobs.control import pause

    job = running.submit("lab.noted", name="stumble")
    running.reaches(job, "failed")
    for _ in range(3):
        running.submit("lab.by_owner", name="x", gate=str(running.gate))
    pause(queue="default", by="anna", reason="the disk is repaired")
    httpx.get(f"{running.address}/api/lab/call", headers=caller(), trust_env=False)

    page.goto(f"{running.address}/admin/")
    page.get_by_role("link", name="Operations").first.click()
    page.wait_for_selector("#workers >> text=worker@lab")
    running.until(lambda: "nowhere" in page.inner_text("#upstreams"), "the upstream", 5)
    assert "the disk is repaired" in page.inner_text("#faults")
    page.reload()
    look(page, "operations")

    page.get_by_label("Find a job").fill(str(job.pk)[:9])
    page.get_by_role("button", name="Find").click()
    page.get_by_role("link", name=str(job.pk)).click()
    assert "failed with ConnectionError" in page.inner_text("#timeline")
    look(page, "job")
    page.get_by_role("button", name="Retry this job").click()
    page.get_by_role("button", name="Yes, retry them").click()
    page.wait_for_selector("text=Retry: 1 jobs.")
    running.reaches(job, "succeeded")
    page.reload()
    lived = page.inner_text("#timeline")
    assert "retried by staff-" in lived
    assert "succeeded" in lived

    page.goto(f"{running.address}/admin/offload_jobs/job/")
    look(page, "list")
    page.get_by_role("link", name="Jobs", exact=True).first.focus()
    assert problems == []


def test_a_long_word_makes_no_page_wider_than_its_window(
    running: Lab, page: Any, problems: list[str]
) -> None:
    from offload.jobs.control import pause
    from offload.jobs.models import Job

    # As long as they may be: the address of a file, a name, an error.
    job = running.submit("lab.noted", name="stumble")
    running.reaches(job, "failed")
    kind, error = "lab." + "x" * 96, HOSTILE + "X" * 3900
    Job.objects.filter(pk=job.pk).update(kind=kind, error=error, message="m" * 200)
    pause(queue="default", by="b" * 150, reason="r" * 200)

    for name, address in {
        "long-operations": "operations/",
        "long-failures": "job/failures/",
        "long-list": "job/?status=failed",
        "long-job": f"job/{job.pk}/change/",
        "long-pauses": "pause/",
    }.items():
        page.goto(f"{running.address}/admin/offload_jobs/{address}")
        look(page, name)
    assert HOSTILE in page_text(page, f"{running.address}/admin/offload_jobs/job/failures/")

    page.goto(f"{running.address}/admin/offload_jobs/job/{job.pk}/change/")
    page.get_by_role("button", name="Retry this job").click()
    page.get_by_role("button", name="Yes, retry them").wait_for()
    look(page, "long-confirmation")
    assert page.evaluate("window.injected") is None
    assert problems == []


def page_text(page: Any, address: str) -> str:
    page.goto(address)
    text: str = page.inner_text("#content")
    return text


def caller() -> dict[str, str]:
    from offload.access.models import ApiToken

    return {"Authorization": f"Bearer {ApiToken.make('lab')[1]}"}
