"""What Django promises holds in both chains."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from conftest import LEAN, Serve, Server, eventually
from django.core.signals import request_finished

from offload.serving.signals import ForeignReceivers

BOTH = pytest.mark.parametrize("prefix", ["/api", ""])


@BOTH
def test_a_page_has_its_id_its_security_headers_and_the_open_lifespans(
    server: Server, prefix: str
) -> None:
    answer = server.get(f"{prefix}/ping", headers={"X-Request-ID": "ours-1"})
    assert answer.json() == {"pong": True, "state": ["first", "second"]}
    assert answer.headers["X-Request-ID"] == "ours-1"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Content-Length" in answer.headers or not LEAN
    assert ("X-Sync-Only" in answer.headers) == (not prefix), (
        "the sync-only middleware is in the full chain alone"
    )


@BOTH
def test_a_views_own_headers_win_and_it_may_be_framed(server: Server, prefix: str) -> None:
    answer = server.get(f"{prefix}/embedded")
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "X-Frame-Options" not in answer.headers
    assert server.get(f"{prefix}/ping").headers["X-Frame-Options"] == "DENY"


@BOTH
def test_browsers_are_told_to_stay_on_https_where_they_are(server: Server, prefix: str) -> None:
    secure = server.get(f"{prefix}/ping", headers={"X-Forwarded-Proto": "https"})
    assert secure.headers["Strict-Transport-Security"] == "max-age=3600"
    assert "Strict-Transport-Security" not in server.get(f"{prefix}/ping").headers


def test_an_answer_without_a_body_has_no_length(server: Server) -> None:
    answer = server.get("/api/nothing")
    assert (answer.status_code, answer.headers.get("Content-Length")) == (204, None)


def test_requests_are_counted_by_their_route(server: Server) -> None:
    assert server.get("/api/items/7").json() == {"number": 7}
    counted = server.get("/metrics").text
    assert 'route="api/items/<int:number>",status="200"' in counted
    assert "items/7" not in counted


def test_a_probe_is_no_line_of_the_log(server: Server) -> None:
    server.get("/health/live")
    server.get("/api/items/8")
    # The line of the request after it.
    server.says("GET /api/items/8 200")
    assert "GET /health/live 200" not in server.log.read_text()


def test_a_service_below_a_prefix_keeps_its_two_chains(serve: Serve) -> None:
    server = serve(SERVING_TEST_PREFIX="/app")
    # Some proxies strip the prefix, others pass it on.
    for prefix in ("", "/app"):
        assert "X-Sync-Only" not in server.get(f"{prefix}/api/ping").headers
        assert "X-Sync-Only" in server.get(f"{prefix}/ping").headers
        assert (
            server.get(f"{prefix}/health/live", headers={"Host": "10.0.0.7:8000"}).status_code
            == 200
        )
    assert "GET /health/live 200" not in server.log.read_text()


def test_an_id_that_could_forge_a_log_line_is_replaced(server: Server) -> None:
    assert server.get("/api/ping", headers={"X-Request-ID": "a b"}).headers["X-Request-ID"] != "a b"


@BOTH
def test_a_foreign_host_is_refused_before_django(server: Server, prefix: str) -> None:
    answer = server.get(f"{prefix}/ping", headers={"Host": "evil.example"})
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "ALLOWED_HOSTS" in answer.json()["detail"]
    server.says(f"GET {prefix}/ping 400")


def test_a_probe_may_ask_by_address(server: Server) -> None:
    assert server.get("/health/live", headers={"Host": "10.0.0.7:8000"}).status_code == 200


@BOTH
def test_a_body_past_the_limit_is_a_413(server: Server, prefix: str) -> None:
    answer = httpx.post(server.url + f"{prefix}/ping", content=b"x" * (2 * 1024 * 1024))
    assert answer.status_code == 413
    assert answer.json()["detail"].startswith("The request body is larger than 1048576 bytes")


@BOTH
def test_a_body_that_hides_its_length_is_refused_before_it_is_read_whole(
    server: Server, prefix: str
) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 65536

    assert httpx.post(server.url + f"{prefix}/upload", content=chunks()).status_code == 413


def test_an_upload_arrives_whole(server: Server) -> None:
    answer = httpx.post(server.url + "/api/upload", files={"file": b"y" * 900_000})
    assert (answer.status_code, answer.json()["size"], answer.json()["first"]) == (
        200,
        900_000,
        "y",
    )


@BOTH
def test_answers_and_uploads_are_closed(server: Server, prefix: str) -> None:
    before = server.facts()["closed"]
    server.get(f"{prefix}/closing")
    eventually(lambda: server.facts()["closed"] == before + 1, "the answer's close")
    # In the pages' chain Django asks for a CSRF token.
    if prefix:
        httpx.post(server.url + f"{prefix}/upload", files={"file": b"y"})
    eventually(lambda: server.facts()["open_uploads"] == 0, "the upload's close")


@BOTH
def test_a_stream_may_go_on_with_its_views_query(server: Server, prefix: str) -> None:
    assert server.get(f"{prefix}/peeked").text == "0123456"


@BOTH
def test_missing_and_failing_pages_are_djangos(server: Server, prefix: str) -> None:
    assert server.get(f"{prefix}/nowhere").status_code == 404
    answer = server.get(f"{prefix}/fail")
    assert answer.status_code == 500
    assert "Server Error (500)" in answer.text
    server.says("ValueError: as the test wants")


def test_the_admin_lets_its_administrator_in(server: Server) -> None:
    with httpx.Client(base_url=server.url, follow_redirects=True, timeout=30) as browser:
        form = browser.get("/admin/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)
        assert token
        fields = {
            "csrfmiddlewaretoken": token[1],
            "username": "ada",
            "password": "pw",
            "next": "/admin/",
        }
        page = browser.post("/admin/login/", data=fields)
        assert "Site administration" in page.text
        assert browser.get("/admin/auth/group/").status_code == 200


def test_a_session_remembers(server: Server) -> None:
    with httpx.Client(base_url=server.url) as browser:
        assert [browser.get("/session").json()["seen"] for _ in range(3)] == [1, 2, 3]


@BOTH
def test_a_third_partys_receivers_hear_every_request(serve: Serve, prefix: str) -> None:
    server = serve(SERVING_TEST_RECEIVERS="1")
    with ThreadPoolExecutor(8) as clients:
        list(clients.map(lambda _: server.get(f"{prefix}/ping"), range(40)))
        list(clients.map(lambda _: server.get(f"{prefix}/in_thread"), range(10)))

    def only_the_asker_is_unfinished() -> bool:
        # The one that asked before may end a moment after its answer.
        facts.update(server.facts())
        return facts["started"] - facts["finished"] <= 1

    facts: dict[str, int] = {}
    eventually(only_the_asker_is_unfinished, "the end of all requests but the one that asks")
    assert facts["started"] >= facts["finished"] >= 50
    assert facts["finished_async"] == facts["finished"]


async def test_a_receiver_hears_from_its_connection_to_its_end() -> None:
    heard = []

    async def receiver(**named: object) -> None:
        heard.append(named)

    receivers = ForeignReceivers()
    # Only Django's own receivers are connected.
    await receivers.send(request_finished)
    for connected in (True, False, True):
        (request_finished.connect if connected else request_finished.disconnect)(receiver)
        await receivers.send(request_finished)
    request_finished.disconnect(receiver)
    assert len(heard) == 2
