"""A service with faults that its tests hide, each beside a right twin of nearly the same form."""

import asyncio
import fcntl
import functools
import socket
import tempfile
import threading
import urllib.request
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import httpx
from asgiref.sync import async_to_sync, sync_to_async
from celery import Celery, chord
from django.contrib.auth.models import User
from django.core.cache.backends.locmem import LocMemCache
from django.core.mail import EmailMessage
from django.core.mail.backends.locmem import EmailBackend
from django.db import transaction
from django.http import HttpRequest
from django.test import RequestFactory

celery = Celery("hidden", broker="memory://", backend="cache+memory://")
# It hides the faults that the plugin has to see.
celery.conf.task_always_eager = True
cache = LocMemCache("hidden", {})
requested = RequestFactory().get("/")


class Address:
    """A service on loopback, at the URL `url`; a fixture sets it."""

    url = ""
    port = 0


def answers(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200)


@celery.task
def report(users: int) -> dict[str, int]:
    return {"users": users}


@celery.task
def report_as_object(users: int) -> object:
    return object()


async def wrong_name_looked_up() -> None:
    socket.getaddrinfo("localhost", 80)


async def right_name_looked_up() -> None:
    await asyncio.get_running_loop().getaddrinfo("localhost", 80)


def lines_of_this_file() -> int:
    with open(__file__) as file:
        return sum(1 for _ in file)


async def wrong_file_read_by_line() -> None:
    lines_of_this_file()


async def right_file_read_by_line() -> None:
    await asyncio.to_thread(lines_of_this_file)


async def wrong_cache_in_memory() -> None:
    cache.get("a")


async def right_cache_in_memory() -> None:
    await cache.aget("a")


def send_mail() -> None:
    EmailMessage("s", "b", "a@example.org", ["b@example.org"], connection=EmailBackend()).send()


async def wrong_mail_to_a_mailbox() -> None:
    send_mail()


async def right_mail_to_a_mailbox() -> None:
    await sync_to_async(send_mail)()


async def wrong_eager_task() -> None:
    report.delay(1)


async def right_eager_task() -> None:
    await sync_to_async(report.delay)(1)


async def wrong_sync_client_of_a_mock() -> None:
    with httpx.Client(transport=httpx.MockTransport(answers)) as client:
        client.get("http://hidden.test")  # noqa: ASYNC212 - the fault to find


async def right_sync_client_of_a_mock() -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(answers)) as client:
        await client.get("http://hidden.test")


def lock_a_file(how: int) -> None:
    with tempfile.TemporaryFile() as file:
        fcntl.flock(file, how)


async def wrong_lock_of_a_file() -> None:
    with socket.socket() as file:
        fcntl.flock(file, fcntl.LOCK_EX)


async def right_lock_of_a_file() -> None:
    await asyncio.to_thread(lock_a_file, fcntl.LOCK_EX)


def wrong_task_before_the_commit() -> None:
    with transaction.atomic():
        User.objects.create(username="ann")
        report.delay(1)


def right_task_before_the_commit() -> None:
    with transaction.atomic():
        User.objects.create(username="ann")
        transaction.on_commit(functools.partial(report.delay, 1))


def wrong_service_in_a_transaction() -> None:
    client = httpx.Client(transport=httpx.MockTransport(answers))
    with client, transaction.atomic():
        User.objects.create(username=client.get("http://hidden.test").text)


def right_service_in_a_transaction() -> None:
    with httpx.Client(transport=httpx.MockTransport(answers)) as client:
        name = client.get("http://hidden.test").text
    with transaction.atomic():
        User.objects.create(username=name)


def wrong_lock_without_a_transaction() -> None:
    list(User.objects.select_for_update())


def right_lock_without_a_transaction() -> None:
    with transaction.atomic():
        list(User.objects.select_for_update())


def wrong_wait_without_a_limit() -> None:
    with urllib.request.urlopen(Address.url) as answer:
        answer.read()


def right_wait_without_a_limit() -> None:
    with urllib.request.urlopen(Address.url, timeout=30) as answer:
        answer.read()


def wrong_result_for_a_message() -> None:
    report_as_object.delay(1)


def right_result_for_a_message() -> None:
    report_as_object.run(1)


@celery.task
def waits_for_a_report() -> int:
    users: int = report.delay(1).get()["users"]
    return users


def wrong_wait_in_a_task() -> None:
    waits_for_a_report()


@celery.task
def sum_of_users(reports: list[dict[str, int]]) -> int:
    return sum(each["users"] for each in reports)


@celery.task
def does_not_wait_for_reports() -> None:
    chord([report.s(1), report.s(2)])(sum_of_users.s())


def right_wait_in_a_task() -> None:
    does_not_wait_for_reports()
    assert report.delay(1).get() == {"users": 1}


def view_with_a_pool(request: HttpRequest) -> list[int]:
    with ThreadPoolExecutor(1) as pool:
        return list(pool.map(abs, [1]))


def wrong_pool_of_a_request() -> None:
    view_with_a_pool(requested)


@functools.cache
def kept_pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1)


def view_with_a_kept_pool(request: HttpRequest) -> list[int]:
    return list(kept_pool().map(abs, [1]))


def right_pool_of_a_request() -> None:
    view_with_a_kept_pool(requested)


def view_with_processes(request: HttpRequest) -> list[int]:
    with get_context("fork").Pool(1) as pool:
        return pool.map(abs, [1])


def wrong_processes_of_a_request() -> None:
    view_with_processes(requested)


def view_with_a_thread(request: HttpRequest) -> None:
    thread = threading.Thread(target=lines_of_this_file)
    thread.start()
    thread.join()


def wrong_thread_of_a_request() -> None:
    view_with_a_thread(requested)


async def view_in_a_thread(request: HttpRequest) -> None:
    await asyncio.to_thread(lines_of_this_file)


async def right_thread_of_a_request() -> None:
    await view_in_a_thread(requested)


kept: list[asyncio.StreamWriter] = []


async def connect() -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", Address.port)
    kept.append(writer)


async def connect_and_close() -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", Address.port)
    writer.close()
    await writer.wait_closed()


def wrong_connection_of_a_loop() -> None:
    async_to_sync(connect)()


def right_connection_of_a_loop() -> None:
    async_to_sync(connect_and_close)()


async def wrong_connection_of_the_test() -> None:
    await connect()


async def right_connection_of_the_test() -> None:
    await connect_and_close()


async def tick() -> None:
    await asyncio.sleep(30)


async def start() -> None:
    task = asyncio.create_task(tick())
    task.set_name("ticker")
    await asyncio.sleep(0)


async def start_and_cancel() -> None:
    asyncio.create_task(tick()).cancel()


def wrong_task_of_a_loop() -> None:
    async_to_sync(start)()


def right_task_of_a_loop() -> None:
    async_to_sync(start_and_cancel)()


async def download() -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"downloaded")


def wrong_loop_of_one_call() -> None:
    async_to_sync(download)()


def right_loop_of_one_call() -> None:
    asyncio.run(download())


async def right_pool_of_processes() -> None:
    loop = asyncio.get_running_loop()
    assert await loop.run_in_executor(processes(), abs, -1) == 1


@functools.cache
def processes() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


CASES = [name for name in globals() if name.startswith(("wrong_", "right_"))]
