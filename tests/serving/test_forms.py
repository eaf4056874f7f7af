"""Forms in one line, which strangers send to any page: each byte may take 77 to parse."""

import threading
import time
from io import BytesIO
from typing import Any

import httpx
import pytest
from conftest import Server
from raw_http import exchange, request

LIMIT = 256 * 1024
FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("path", ["/ping", "/api/echo"])
@pytest.mark.parametrize("kind", [FORM, f"{FORM.upper()} ; charset=utf-8", f"{FORM}=a"])
def test_a_form_in_one_line_has_a_limit_of_its_own(server: Server, path: str, kind: str) -> None:
    headers = {"Content-Type": kind}
    largest = httpx.post(server.url + path, content=b"%41" * (LIMIT // 3), headers=headers)
    assert largest.status_code in (200, 403)
    too_large = httpx.post(server.url + path, content=bytes(LIMIT + 1), headers=headers)
    assert too_large.status_code == 413
    detail = too_large.json()["detail"]
    assert str(LIMIT) in detail
    assert "Send the form as multipart/form-data" in detail


def test_a_form_whose_type_is_in_two_headers_is_one(server: Server) -> None:
    headers = (f"Content-Type: {FORM};", "Content-Type: a", f"Content-Length: {LIMIT + 1}")
    answer = exchange(server, request("POST", "/ping", *headers, "Connection: close"))
    assert answer.startswith(b"HTTP/1.1 413")


def test_large_forms_are_parsed_by_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.core.handlers.asgi import ASGIRequest

    from offload.serving.form_request import LARGE_BYTES, FormRequest

    parsers: list[threading.Thread] = []

    def parse(self: Any) -> None:
        parsers.append(threading.current_thread())
        time.sleep(0.02)

    monkeypatch.setattr(ASGIRequest, "_load_post_and_files", parse)

    def parsers_of(*headers: tuple[bytes, bytes]) -> int:
        """How many threads parse forms with this head that come in eight threads."""
        parsers.clear()
        head = [(b"content-type", FORM.encode()), *headers]
        scope = {"type": "http", "method": "POST", "path": "/", "query_string": b""}
        requests = [FormRequest({**scope, "headers": head}, BytesIO()) for _ in range(8)]
        threads = [threading.Thread(target=each._load_post_and_files) for each in requests]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(parsers) == 8
        return len(set(parsers))

    assert parsers_of((b"content-length", b"%d" % (LARGE_BYTES + 1))) == 1
    assert parsers_of((b"transfer-encoding", b"chunked")) == 1
    assert parsers_of((b"content-length", b"%d" % LARGE_BYTES)) == 8


def test_a_form_that_is_parsed_by_another_thread_is_the_same(server: Server) -> None:
    with httpx.Client(base_url=server.url) as client:
        page = client.get("/admin/login/").text
        token = page.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
        # The CSRF token is found behind 100 kB.
        form = {"username": "a" * 100_000, "password": "b", "csrfmiddlewaretoken": token}
        answer = client.post("/admin/login/", data=form)
        assert answer.status_code == 200
        assert "errornote" in answer.text
        assert (
            client.post("/admin/login/", data=form | {"csrfmiddlewaretoken": ""}).status_code == 403
        )
