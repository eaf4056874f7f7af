"""Request threads: one request each, in use until its call ends, and few while requests wait."""

import asyncio
import itertools
import socket
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from functools import partial

import httpx
import pytest
from conftest import LEAN, TIMEOUT_SECONDS, Serve, Server, eventually, lean
from django.db import connections

from offload.problems import Problem
from offload.serving.request_thread import RequestThread, SocketThread
from offload.serving.thread_pool import ThreadPool


def many(server: Server, path: str, number: int) -> list[httpx.Response]:
    """So many requests at once."""
    with ThreadPoolExecutor(number) as clients:
        return list(clients.map(lambda _: server.get(path), range(number)))


@pytest.mark.parametrize(
    "path", ["/api/transactions", "/api/transactions?release", "/transactions"]
)
def test_transactions_of_concurrent_requests_never_share_a_connection(
    server: Server, path: str
) -> None:
    answers = many(server, path, 40)
    assert [answer.json() for answer in answers] == [{"shared": False}] * 40


@pytest.mark.parametrize("path", ["/api/in_thread?seconds=0.3", "/in_thread?seconds=0.3"])
def test_sync_views_run_side_by_side_each_in_its_thread(server: Server, path: str) -> None:
    answers = [answer.json() for answer in many(server, path, 20)]
    assert not any(answer["shared"] for answer in answers)
    assert len({answer["thread"] for answer in answers}) > 4


def test_a_cancelled_request_never_returns_a_thread_that_is_still_busy(server: Server) -> None:
    for _ in range(8):
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(server.url + "/api/in_thread_async?seconds=2", timeout=0.3)
    answers = many(server, "/api/in_thread?seconds=0.05", 20)
    assert not any(answer.json()["shared"] for answer in answers)


def test_threads_that_hang_hold_nobody_up_for_long(server: Server) -> None:
    with ThreadPoolExecutor(12) as clients:
        hanging = [clients.submit(server.get, "/api/in_thread?seconds=4") for _ in range(12)]
        assert server.get("/api/in_thread").status_code == 200
        assert not all(request.done() for request in hanging), "it waited for the others' end"


async def test_a_thread_that_comes_back_goes_to_whoever_waits_longest() -> None:
    """Where more were lent than the bound says, later requests found it idle, and the one that
    waited never had one.
    """
    pool = ThreadPool(1)
    first, second, third, *later = (RequestThread(pool) for _ in range(20))
    holds = threading.Event()
    try:
        await asyncio.wrap_future(first.submit(int))
        # This request waits for a thread, until more than one is lent.
        waits = second.submit(holds.wait)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not waits.running():  # noqa: ASYNC110 - a thread sets it
                await asyncio.sleep(0.01)
        waited = third.submit(int)
        first.close()
        # One thread comes back again and again, so no more are lent.
        for request in later:
            await asyncio.wrap_future(request.submit(int))
            request.close()
            await asyncio.sleep(0.05)
        assert waited.done()
    finally:
        holds.set()
        for request in (second, third):
            request.close()
        await asyncio.to_thread(pool.close)


@lean
def test_more_threads_are_started_while_requests_wait_and_end_when_they_are_idle(
    serve: Serve,
) -> None:
    server = serve()
    before = server.threads()
    with ThreadPoolExecutor(24) as clients:
        held = [clients.submit(server.get, "/api/in_thread?held") for _ in range(24)]
        eventually(lambda: server.threads() >= before + 24, "a thread for each that waits")
        server.get("/api/let_go")
    assert len({request.result().json()["thread"] for request in held}) == 24
    eventually(lambda: server.threads() <= before + 8, "only those that are kept are left")
    assert server.get("/api/in_thread").status_code == 200


@lean
@pytest.mark.parametrize("path", ["/api/in_thread", "/in_thread", "/api/in_thread_async"])
def test_threads_have_a_ceiling_and_a_request_that_waits_too_long_is_answered_503(
    serve: Serve, path: str
) -> None:
    server = serve(SERVING_TEST_THREADS="6", SERVING_TEST_THREAD_TIMEOUT="0.5")
    before = server.threads()
    with ThreadPoolExecutor(20) as clients:
        slow = [clients.submit(server.get, path + "?held") for _ in range(20)]
        refused = [request.result() for request in itertools.islice(as_completed(slow), 14)]
        # The helpers of the event loop's default executor are no request threads: at most 6.
        assert server.threads() <= before + 6 + 6
        server.get("/api/let_go")
    statuses = sorted(request.result().status_code for request in slow)
    assert statuses == [200] * 6 + [503] * 14
    assert {answer.headers.get("Retry-After") for answer in refused} == {"1"}
    assert {answer.headers["Content-Type"] for answer in refused} == {"application/problem+json"}
    assert "Traceback" not in server.log.read_text()
    assert server.metric('offload_serving_shed_total{limit="threads"}') == 14
    assert server.get(path + "?seconds=0").status_code == 200


@lean
def test_pages_that_hold_all_their_threads_leave_the_api_its_own(serve: Serve) -> None:
    server = serve(SERVING_TEST_THREADS="4")
    with ThreadPoolExecutor(8) as clients:
        pages = [clients.submit(server.get, "/in_thread?seconds=4") for _ in range(8)]
        eventually(
            lambda: server.metric("offload_serving_threads_lent") >= 4, "the pages hold threads"
        )
        assert server.get("/api/in_thread").status_code == 200
        assert not any(page.done() for page in pages), "the API did not wait for a page"


async def test_an_idle_thread_closes_a_connection_that_is_too_old() -> None:
    pool = ThreadPool(1, idle_check=0.1)
    request = RequestThread(pool)
    connection = await asyncio.wrap_future(request.submit(lambda: connections["default"]))
    await asyncio.wrap_future(request.submit(connection.ensure_connection))
    connection.close_at = 0.0
    request.close()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while connection.connection is not None:  # noqa: ASYNC110 - a thread sets it
            await asyncio.sleep(0.01)
    assert len(pool.idle) == 1, "the thread itself is kept"
    await asyncio.to_thread(pool.close)


@pytest.mark.parametrize("path", ["/api/nested", "/nested"])
def test_nested_sync_and_async_calls_share_one_thread_and_never_deadlock(
    server: Server, path: str
) -> None:
    assert [answer.json() for answer in many(server, path, 20)] == [{"threads": 1}] * 20


def test_a_query_that_is_read_beside_a_release_keeps_its_thread(server: Server) -> None:
    answers = many(server, "/api/beside", 20)
    assert [answer.json() for answer in answers] == [{"kept": True}] * 20


def test_a_transaction_left_open_is_nobody_elses(server: Server) -> None:
    assert [answer.json() for answer in many(server, "/api/left_open", 20)] == [{"met": False}] * 20


# Stock Django gives the task a thread.
@lean
def test_a_task_that_outlives_its_request_is_refused_the_thread(server: Server) -> None:
    before = server.facts()["refused"]
    server.get("/api/outlives")
    eventually(lambda: server.facts()["refused"] == before + 1, "the refusal")


async def test_a_thread_whose_clean_up_fails_is_counted_as_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise OSError("the database is gone")

    monkeypatch.setattr("offload.serving.thread_pool.close_old_connections", fail)
    pool = ThreadPool(1)
    for _ in range(3):
        request = RequestThread(pool)
        await asyncio.wrap_future(request.submit(int))
        request.close()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while pool.lent:  # noqa: ASYNC110 - a thread sets it
            await asyncio.sleep(0.01)
    assert pool.idle == []


async def test_a_thread_that_cannot_start_is_neither_lent_nor_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("can't start new thread")

    pool = ThreadPool(1)
    request = RequestThread(pool)
    with monkeypatch.context() as full:
        full.setattr("offload.serving.thread_pool.PooledThread", fail)
        with pytest.raises(RuntimeError, match="can't start"):
            request.submit(int)
    assert pool.lent == 0
    assert not request.borrowed
    assert await asyncio.wrap_future(request.submit(int)) == 0
    request.close()
    await asyncio.to_thread(pool.close)


async def test_where_no_thread_can_start_a_request_waits_for_one_that_is_lent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("can't start new thread")

    pool = ThreadPool(2)
    first, second = RequestThread(pool), RequestThread(pool)
    await asyncio.wrap_future(first.submit(int))
    with monkeypatch.context() as full:
        full.setattr("offload.serving.thread_pool.PooledThread", fail)
        waits = second.submit(int)
        first.close()
        assert await asyncio.wrap_future(waits) == 0
    second.close()
    await asyncio.to_thread(pool.close)


# The pool is the lean handler's, and so are settings that keep connections.
@lean
async def test_a_thread_closes_its_connections_at_its_end() -> None:
    pool = ThreadPool(1)
    request = RequestThread(pool)
    connection = await asyncio.wrap_future(request.submit(lambda: connections["default"]))
    await asyncio.wrap_future(request.submit(connection.ensure_connection))
    request.close()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not pool.idle:  # noqa: ASYNC110 - a thread sets it
            await asyncio.sleep(0.01)
    assert connection.connection is not None, "kept for the next request"
    await asyncio.to_thread(pool.close)
    assert connection.connection is None


@pytest.mark.skipif(LEAN, reason="the lean handler keeps connections, for the next request")
def test_no_connection_outlives_its_request(server: Server) -> None:
    """With settings that keep them, those of the ended threads used up the files of the process."""
    assert {answer.status_code for answer in many(server, "/api/in_thread", 20)} == {200}
    eventually(lambda: server.connections() == 0, "the end of the last connection")


@lean
def test_waiting_is_refused_while_a_query_or_a_transaction_is_open(server: Server) -> None:
    said = server.get("/api/held").json()
    assert said["rows"] == 7, "the open query was read to its end"
    assert said.keys() == {"rows", "sentence"}
    assert said["sentence"].startswith("A transaction is open. Commit it")


@lean
def test_five_hundred_waiting_requests_hold_few_threads_and_connections(serve: Serve) -> None:
    server = serve()
    held: list[tuple[int, int]] = []

    def all_in() -> bool:
        held.append((server.threads(), server.connections()))
        return server.metric("offload_serving_requests_in_flight") >= 500

    with ExitStack() as clients:
        waiting = []
        for _ in range(500):
            client = clients.enter_context(
                socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT_SECONDS)
            )
            client.sendall(b"GET /api/fan_out HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            waiting.append(clients.enter_context(client.makefile("rb")))
        eventually(all_in, "500 requests in flight")
        held.append((server.threads(), server.connections()))
        server.get("/api/go")
        assert {answer.readline() for answer in waiting} == {b"HTTP/1.1 200 OK\r\n"}, (
            "none was refused"
        )
    held.append((server.threads(), server.connections()))
    # Eight are kept. On a busy machine some more are started.
    assert max(threads for threads, _ in held) <= 40
    assert max(connections for _, connections in held) <= 30


async def lent(pool: ThreadPool, number: int) -> None:
    """Wait until so many threads are lent."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while pool.lent != number:  # noqa: ASYNC110 - a thread sets it
            await asyncio.sleep(0.01)


async def test_a_websocket_gives_its_thread_back_after_each_call() -> None:
    pool = ThreadPool(2)
    with SocketThread(pool) as thread:
        calls = [asyncio.wrap_future(thread.submit(threading.get_ident)) for _ in range(20)]
        assert len(set(await asyncio.gather(*calls))) == 1
        await lent(pool, 0)
        assert await asyncio.wrap_future(thread.submit(int)) == 0
        await lent(pool, 0)
    await asyncio.to_thread(pool.close)


async def test_a_websocket_keeps_its_thread_while_a_transaction_is_open() -> None:
    pool = ThreadPool(2)
    with SocketThread(pool) as thread:
        for autocommit in (False, True):
            change = partial(lambda to: connections["default"].set_autocommit(to), autocommit)
            await asyncio.wrap_future(thread.submit(change))
            await lent(pool, 0 if autocommit else 1)
    await asyncio.to_thread(pool.close)


async def test_a_websocket_hears_of_its_call_though_the_clean_up_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise OSError("the database is gone")

    monkeypatch.setattr("offload.serving.request_thread.finish_in_thread", fail)
    pool = ThreadPool(1)
    with SocketThread(pool) as thread:
        assert await asyncio.wrap_future(thread.submit(int)) == 0
    await lent(pool, 0)
    await asyncio.to_thread(pool.close)


async def test_a_websocket_that_found_no_thread_may_find_one_later() -> None:
    pool = ThreadPool(1, 1, wait_timeout=0.05)
    go = threading.Event()
    with RequestThread(pool) as other, SocketThread(pool) as thread:
        busy = asyncio.wrap_future(other.submit(go.wait))
        with pytest.raises(Problem):
            await asyncio.wrap_future(thread.submit(int))
        go.set()
        await busy
        other.close()
        assert await asyncio.wrap_future(thread.submit(int)) == 0
    await asyncio.to_thread(pool.close)
