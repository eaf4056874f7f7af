"""Responses that are read from files, which may change or hang meanwhile."""

import signal
from contextlib import ExitStack

import pytest
from conftest import Serve, Server, eventually
from raw_http import connect, request

# Python's own pool for calls that block has never more threads.
MAX_POOL_THREADS = 32


@pytest.mark.parametrize("prefix", ["/", "/api/"])
def test_a_file_that_grows_is_sent_as_long_as_it_was(server: Server, prefix: str) -> None:
    assert server.get(f"{prefix}growing_file").content == bytes(200_000)


@pytest.mark.parametrize("prefix", ["/", "/api/"])
def test_of_a_file_as_much_is_sent_as_its_content_length_says(server: Server, prefix: str) -> None:
    assert server.get(f"{prefix}part_of_file").content == b"part!" * 10


def test_files_that_hang_delay_neither_other_answers_nor_the_stop(serve: Serve) -> None:
    server = serve("--grace", "1")
    with ExitStack() as clients:
        for _ in range(MAX_POOL_THREADS):
            client = clients.enter_context(connect(server))
            client.sendall(request("GET", "/api/hanging_file"))
        eventually(lambda: server.facts()["pieces"] == MAX_POOL_THREADS, "the reads to begin")
        # Django logs an error in a thread.
        assert server.get("/api/is-not-there").status_code == 404
        assert server.stop() == -signal.SIGTERM
