"""The API for a page whose user has logged in: the session cookie, and what forges a request."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from .conftest import Lab
from .families import claimed
from .test_web_process import gauge
from .web_process import lab_with_web, watch

PASSWORD = "of-the-tests-12"
SESSION = "sessionid"
CSRF = "a" * 32


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A web process and Redis for all tests of this file."""
    yield from lab_with_web(tmp_path_factory.mktemp("session"))


@pytest.fixture
def ada(web: Lab) -> Iterator[Any]:
    """A user, who is deleted at the end, as are all jobs and sessions."""
    from django.contrib.auth.models import User
    from django.contrib.sessions.models import Session

    from offload.jobs.models import Job

    yield User.objects.create_superuser("ada", None, PASSWORD)
    for model in (Session, User, Job):
        model.objects.all().delete()


def client(web: Lab, **cookies: str) -> httpx.Client:
    return httpx.Client(base_url=web.address, cookies=cookies, timeout=60, trust_env=False)


@pytest.fixture
def page(web: Lab, ada: Any) -> Iterator[httpx.Client]:
    """What a page of this user sends with each request: both cookies."""
    from django.test import Client

    session = Client()
    session.force_login(ada)
    with client(web, sessionid=session.cookies[SESSION].value, csrftoken=CSRF) as found:
        yield found


def test_a_user_has_the_jobs_of_the_tokens_with_the_same_owner(
    web: Lab, page: httpx.Client
) -> None:
    mine, other = web.submit("lab.burn", owner="ada", units=1), web.submit("lab.burn", units=1)
    assert [job["id"] for job in page.get("/api/jobs").json()["jobs"]] == [str(mine.pk)]
    assert page.get(f"/api/jobs/{other.pk}").status_code == 404
    answer = page.delete(f"/api/jobs/{mine.pk}", headers={"X-CSRFToken": CSRF})
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")


def test_a_page_that_asks_for_the_caller_is_told_who_the_owner_is(ada: Any) -> None:
    from django.test import RequestFactory

    from offload.access import caller

    request = RequestFactory().get("/desk/")
    request.user = ada
    with pytest.raises(RuntimeError, match=r"the owner of jobs is request\.user\.get_username"):
        caller(request)


def test_the_page_of_the_api_tries_requests_out_with_the_session_alone(
    web: Lab, page: httpx.Client
) -> None:
    """As its script does: with the token in the page, beside the cookie that came with it."""
    page.cookies.delete("csrftoken")
    shown = page.get("/api/docs")
    found = re.search(r'data-csrf-token="(\w+)"\s+data-api-csrf="true"', shown.text)
    assert found is not None, shown.text
    assert "csrftoken" in shown.cookies
    assert "Set-Cookie" not in page.get("/api/openapi.json").headers

    job = web.submit("lab.burn", owner="ada", units=1)
    tried = page.delete(f"/api/jobs/{job.pk}", headers={"X-CSRFToken": found[1]})
    assert tried.status_code == 202, tried.text


def test_an_unsafe_request_without_the_csrf_token_is_refused(web: Lab, page: httpx.Client) -> None:
    job = web.submit("lab.burn", owner="ada", units=1)
    own = {"X-CSRFToken": CSRF}
    forged = (
        {},
        {"X-CSRFToken": "b" * 32},
        {"X-CSRFToken": "short"},
        {"X-CSRFToken": CSRF.upper()},
        own | {"Origin": "https://evil.example"},
        own | {"Origin": "null"},
        own | {"Origin": f"{web.address}.evil.example"},
        own | {"Origin": web.address.replace("http:", "https:")},
        own | {"Origin": "http://["},
    )
    for headers in forged:
        answer = page.delete(f"/api/jobs/{job.pk}", headers=headers)
        assert answer.status_code == 403, headers
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert "X-CSRFToken" in answer.json()["detail"]
    body = {"ids": [str(job.pk)]}
    assert page.post("/api/jobs/discard", json=body).status_code == 403
    form = {"csrfmiddlewaretoken": "b" * 32, "ids": str(job.pk)}
    assert page.post("/api/jobs/discard", data=form).status_code == 403
    assert page.get(f"/api/jobs/{job.pk}").json()["status"] == "queued", "no forgery has done it"

    del page.cookies["csrftoken"]
    assert page.delete(f"/api/jobs/{job.pk}", headers=own).status_code == 403, "no cookie"
    page.cookies["csrftoken"] = CSRF
    answer = page.delete(f"/api/jobs/{job.pk}", headers=own | {"Origin": web.address})
    assert answer.status_code == 202


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data"),
        ("multipart/form-data; boundary=b", b"\x00" * 1000),
        ("multipart/form-data; boundary=" + "b" * 300, b"x"),
        ("application/x-www-form-urlencoded", b"&".join(b"k%d=" % n for n in range(2000))),
        ("application/x-www-form-urlencoded; charset=nonsense", b"a=%ff"),
    ],
)
def test_a_malformed_form_is_no_error_of_the_service(
    web: Lab, page: httpx.Client, kind: str, body: bytes
) -> None:
    answer = page.post("/api/jobs/discard", content=body, headers={"Content-Type": kind})
    assert answer.status_code in (400, 403), answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_session_that_is_none_is_a_401(web: Lab, page: httpx.Client) -> None:
    from django.contrib.auth.models import User

    known = page.cookies[SESSION]
    for value in (
        "",
        "x",
        known[:-1],
        known + "x",
        known.upper(),
        '"a\\000bcdefgh"',
        '"\\303\\244bcdefgh"',
        "x" * 30_000,
        "' OR 1=1 --",
    ):
        answer = httpx.get(
            f"{web.address}/api/jobs", headers={"Cookie": f"{SESSION}={value}"}, trust_env=False
        )
        assert answer.status_code == 401, value
    assert page.get("/api/jobs").status_code == 200
    User.objects.update(is_active=False)
    assert page.get("/api/jobs").status_code == 401
    User.objects.update(is_active=True)
    user = User.objects.get()
    user.set_password("another-password")
    user.save()
    assert page.get("/api/jobs").status_code == 401, "its password was changed"


def test_a_wrong_token_is_no_session(web: Lab, page: httpx.Client) -> None:
    assert page.get("/api/jobs", headers={"Authorization": "Bearer wrong"}).status_code == 401
    proxy = {"Authorization": "Basic YTpi"}
    assert page.get("/api/jobs", headers=proxy).status_code == 200, "a proxy's own password"


def test_a_token_needs_no_csrf_token_whatever_cookies_come_with_it(
    web: Lab, page: httpx.Client
) -> None:
    from offload.access.models import ApiToken

    _, token = ApiToken.make("bob")
    headers = {"Authorization": f"Bearer {token}", "Origin": "https://evil.example"}
    answer = page.post("/api/jobs/discard", json={"kind": "lab.burn"}, headers=headers)
    assert answer.status_code == 200


def log_in(browser: httpx.Client, **more: str) -> httpx.Response:
    form = browser.get("/admin/login/").text
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
    assert token is not None
    data = {"csrfmiddlewaretoken": token[1], "username": "ada", "password": PASSWORD, **more}
    return browser.post("/admin/login/", data=data)


def test_a_login_takes_over_no_session_that_somebody_else_has_planted(web: Lab, ada: Any) -> None:
    from django.contrib.sessions.backends.db import SessionStore

    planted = SessionStore()
    planted["seen"] = 1
    planted.save()
    with client(web, sessionid=str(planted.session_key)) as browser:
        assert log_in(browser, csrfmiddlewaretoken="x" * 64).status_code == 403, "a forged login"
        assert browser.get("/api/jobs").status_code == 401
        answer = log_in(browser)
        assert answer.status_code == 302
        cookies = answer.headers.get_list("Set-Cookie")
        (session,) = (each for each in cookies if each.startswith(f"{SESSION}="))
        (csrf,) = (each for each in cookies if each.startswith("csrftoken="))
        assert "HttpOnly" in session
        assert "HttpOnly" not in csrf, "a page has to read it"
        assert "SameSite=Lax" in session
        assert "SameSite=Lax" in csrf
    with client(web, sessionid=str(planted.session_key)) as attacker:
        assert attacker.get("/api/jobs").status_code == 401
    made = session.partition("=")[2].partition(";")[0]
    token = csrf.partition("=")[2].partition(";")[0]
    with client(web, sessionid=made, csrftoken=token) as browser:
        answer = browser.post(
            "/api/jobs/discard", json={"kind": "lab.burn"}, headers={"X-CSRFToken": token}
        )
        assert answer.status_code == 200
        form = {"csrfmiddlewaretoken": token}
        assert browser.post("/admin/logout/", data=form).status_code == 200
    with client(web, sessionid=made) as thief:
        assert thief.get("/api/jobs").status_code == 401, "it ends in the server, too"


def test_a_session_that_an_older_secret_key_has_signed_is_read_and_stays(
    web: Lab, page: httpx.Client, settings: Any
) -> None:
    from django.contrib.sessions.models import Session

    from offload.access.sessions import read_users

    key = page.cookies[SESSION]
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another" * 10
    # The session's own signature is checked with the fallback, too.
    before = Session.objects.get(pk=key).session_data
    assert [user.username for user in read_users([key]).values()] == ["ada"]
    assert Session.objects.get(pk=key).session_data == before
    settings.SECRET_KEY_FALLBACKS = []
    assert not read_users([key])


@pytest.mark.parametrize("engine", ["cache", "cached_db", "file", "signed_cookies"])
def test_other_engines_of_sessions_are_read_as_well(
    web: Lab, ada: Any, settings: Any, engine: str, tmp_path: Any
) -> None:
    from django.test import Client

    from offload.access.sessions import read_users

    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    browser = Client()
    browser.force_login(ada)
    key = browser.cookies[SESSION].value
    assert list(read_users([key, "of-nobody"])) == [key]


@pytest.mark.parametrize("way", ["logout", "expiry", "password", "inactive"])
def test_a_stream_and_a_wait_end_soon_after_the_session(
    web: Lab, page: httpx.Client, ada: Any, way: str
) -> None:
    from django.contrib.sessions.models import Session
    from django.utils import timezone

    job = claimed(web.submit("lab.burn", owner="ada", units=1).pk)
    lines: list[str] = []
    reader = watch(page, job, lines)
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(page.get, f"/api/jobs/{job.pk}", headers={"Prefer": "wait=25"})
        web.until(lambda: gauge(page, "offload_serving_streams_in_flight") == 2, "both")
        if way == "logout":
            Session.objects.all().delete()
        elif way == "expiry":
            Session.objects.update(expire_date=timezone.now())
        elif way == "password":
            ada.set_password("another-password")
            ada.save()
        else:
            type(ada).objects.update(is_active=False)
        answer = waiting.result(60)
    assert answer.status_code == 401
    reader.join(30)
    assert not reader.is_alive()
    assert any("the session has ended" in line for line in lines), lines
    assert not any(line.startswith("event: succeeded") for line in lines)


def test_a_csrf_token_that_is_kept_in_the_session_is_found_there(
    web: Lab, page: httpx.Client, settings: Any
) -> None:
    from django.contrib.sessions.backends.db import SessionStore
    from django.test import RequestFactory

    from offload.access.session_login import _owner
    from offload.problems import Problem

    settings.CSRF_USE_SESSIONS = True
    key = page.cookies[SESSION]
    session = SessionStore(key)
    session["_csrftoken"] = CSRF
    session.save()
    requests = RequestFactory(enforce_csrf_checks=True)
    assert _owner(requests.post("/", headers={"X-CSRFToken": CSRF}), key) == "ada"
    with pytest.raises(Problem) as raised:
        _owner(requests.post("/", headers={"X-CSRFToken": "b" * 32}), key)
    assert raised.value.status == 403
