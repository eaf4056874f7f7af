"""Responses that may have no content, whatever their view put into them."""

import pytest
from conftest import Server, eventually
from raw_http import exchange, request

BOTH = pytest.mark.parametrize("prefix", ["/api", ""])
KINDS = ("file", "stream", "stream&length", "plain", "plain&length", "cookies", "cookies&length")


def answers(server: Server, method: str, path: str) -> list[bytes]:
    """The head of the answer to this request, and what follows it on the connection.

    A second request follows on the same connection, whose answer must begin where the first ends.
    """
    ping = request("GET", "/api/ping", "Connection: close")
    head, _, rest = exchange(server, request(method, path) + ping).partition(b"\r\n\r\n")
    return [head.lower(), rest]


@BOTH
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", [204, 304, 205])
def test_the_next_answer_begins_where_the_head_ends(
    server: Server, prefix: str, kind: str, method: str, status: int
) -> None:
    before = server.facts()["pieces"]
    path = f"{prefix}/with_status?status={status}&kind={kind}"
    head, rest = answers(server, method, path)
    assert head.startswith(b"http/1.1 %d " % status)
    assert rest.startswith(b"HTTP/1.1 200 OK"), "nothing lies between the two answers"
    # RFC 9110, section 8.6: a 204 has no length. Section 15.3.6: that of a 205 is 0.
    assert (b"content-length: 0" in head) == (status == 205)
    assert head.count(b"content-length") == (status == 205)
    assert b"transfer-encoding" not in head
    assert server.facts()["pieces"] == before, "content that is not sent is not made"
    eventually(lambda: server.facts()["open_uploads"] == 0, "the end of its file")


@BOTH
@pytest.mark.parametrize("status", [100, 101, 103])
def test_a_view_that_answers_1xx_is_an_error_and_its_client_does_not_wait(
    server: Server, prefix: str, status: int
) -> None:
    head, rest = answers(server, "GET", f"{prefix}/with_status?status={status}&kind=plain")
    assert head.startswith(b"http/1.1 500 ")
    assert b"HTTP/1.1 200 OK" in rest
    server.says(f"made a response with status {status}.")
