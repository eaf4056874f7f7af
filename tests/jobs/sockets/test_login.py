"""Who opens a WebSocket, and for which jobs."""

import json
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from websockets.exceptions import InvalidStatus

from jobs.conftest import Lab
from jobs.families import claimed
from jobs.web_process import lab_with_web
from offload.access import DEV_TOKEN

from .client import closed, hear, opened, say, subscribe, until


def refused(web: Lab, **options: Any) -> tuple[int, Any]:
    with pytest.raises(InvalidStatus) as raised, opened(web, **options):
        pass
    answer = raised.value.response
    kind = answer.headers["Content-Type"]
    return answer.status_code, json.loads(answer.body) if "json" in kind else {}


def test_nobody_opens_a_socket_without_a_login(web: Lab, token: str) -> None:
    bearer = {"Authorization": f"Bearer {token}"}
    foreign = "https://evil.example"
    status, problem = refused(web)
    assert (status, problem["title"]) == (401, "Unauthorized")
    assert refused(web, token="wrong")[0] == 401
    assert refused(web, path=f"/ws/jobs?token={token}")[0] == 401, "never in the URL"
    assert refused(web, additional_headers={"Host": "evil.example"}, token=token)[0] == 403
    assert refused(web, path="/ws/other", token=token)[0] == 404
    with opened(web, additional_headers=bearer) as client:
        assert client.subprotocol is None
    with opened(web, token, origin=foreign) as client:
        say(client, "unsubscribe", jobs=[str(uuid4())])
        assert hear(client)["type"] == "unsubscribed", "a token is sent by who has it"
    log = web.log("web")
    web.until(lambda: "WEBSOCKET /ws/jobs 401" in web.log("web"), "the line of a refusal")
    web.until(lambda: "WEBSOCKET /ws/jobs 101" in web.log("web"), "the line of a socket")
    assert "WEBSOCKET /ws/other 404" in log
    assert token not in log
    assert "without completing handshake" not in log, "a refusal is no error of the service"


def test_a_session_is_taken_from_the_services_own_pages_alone(
    web: Lab, token: str, session: str
) -> None:
    job = claimed(web.submit("lab.burn", units=1).pk)
    cookie = {"Cookie": f"sessionid={session}"}
    for origin in (None, "https://evil.example", "null", f"{web.address}.evil.example", "http://["):
        status, problem = refused(web, additional_headers=cookie, origin=origin)
        assert (status, problem["title"]) == (403, "Forbidden"), origin
    assert refused(web, additional_headers={"Cookie": "sessionid=x"}, origin=web.address)[0] == 401
    with opened(web, additional_headers=cookie, origin=web.address) as client:
        subscribe(client, job)
        assert until(client, "progress")["id"] == str(job.pk), "the same owner"


def test_a_socket_closes_soon_after_its_login_ends(web: Lab, token: str, session: str) -> None:
    from django.contrib.sessions.models import Session

    from offload.access.models import ApiToken

    cookie = {"Cookie": f"sessionid={session}"}
    other = ApiToken.make("lab")[1]
    with (
        opened(web, token) as by_token,
        opened(web, additional_headers=cookie, origin=web.address) as by_session,
        opened(web, other) as goes_on,
    ):
        ApiToken.objects.order_by("pk").first().delete()  # type: ignore[union-attr]
        Session.objects.all().delete()
        for client in (by_token, by_session):
            code, reason = closed(client)
            assert code == 4401
            assert "Log in again" in reason
        say(goes_on, "unsubscribe", jobs=[str(uuid4())])
        assert hear(goes_on)["type"] == "unsubscribed"


def test_a_token_that_may_only_read_watches_and_does_not_cancel(web: Lab, token: str) -> None:
    from offload.access.models import ApiToken

    job = web.submit("lab.burn", units=1)
    with opened(web, ApiToken.make("lab", scope="read")[1]) as client:
        subscribe(client, job)
        assert until(client, "subscribed")["job"]["id"] == str(job.pk)
        say(client, "cancel", job=str(job.pk))
        told = until(client, "error")
        assert (told["problem"]["status"], "`write`" in told["problem"]["detail"]) == (403, True)
    job.refresh_from_db()
    assert job.status == "queued"


def test_a_socket_closes_when_its_token_gets_another_scope(web: Lab, token: str) -> None:
    from offload.access.models import ApiToken
    from offload.access.tokens import digest

    job = web.submit("lab.burn", units=1)
    other = ApiToken.make("lab")[1]
    with opened(web, token) as client, opened(web, other) as goes_on:
        subscribe(client, job)
        until(client, "subscribed")
        ApiToken.objects.filter(digest=digest(token)).update(scope="read")
        assert closed(client)[0] == 4401
        say(goes_on, "ping")
        assert hear(goes_on)["type"] == "pong", "another token of the owner is not concerned"
    with opened(web, token) as client:
        say(client, "cancel", job=str(job.pk))
        assert hear(client)["problem"]["status"] == 403


def test_other_owners_jobs_and_those_that_are_none_are_404(web: Lab, token: str) -> None:
    foreign = web.submit("lab.burn", owner="another", units=1)
    with opened(web, token) as client:
        for job_id in (str(foreign.pk), str(uuid4())):
            say(client, "subscribe", jobs=[{"id": job_id}], ref="s")
            say(client, "cancel", job=job_id, ref="c")
            for ref in "sc":
                told = hear(client)
                assert (told["type"], told["ref"]) == ("error", ref)
                assert told["problem"]["status"] == 404
    foreign.refresh_from_db()
    assert foreign.status == "queued"


def test_a_foreign_page_opens_no_socket_with_the_token_of_development(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody knows it, and a developer looks at many pages."""
    # Given back to the other tests, whose process has it.
    monkeypatch.setenv("PORT", os.environ.get("PORT", ""))
    for lab in lab_with_web(tmp_path, DEBUG="1"):
        for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
            assert refused(lab, token=DEV_TOKEN, origin=origin)[0] == 403, origin
        for origin in (None, lab.address):
            with opened(lab, DEV_TOKEN, origin=origin) as client:
                say(client, "ping")
                assert hear(client)["type"] == "pong"
