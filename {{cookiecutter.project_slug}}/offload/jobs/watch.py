"""Long responses: the event stream of one job, and the wait for its end; a feature's own ones."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from django.http import HttpRequest

from offload.access.watched_logins import LOGIN_ENDED, Login, WatchedLogin, login_of
from offload.conf import conf
from offload.jobs.control import no_such_job
from offload.jobs.job_view import summary_of
from offload.jobs.models import Job
from offload.jobs.notifier import Changes
from offload.jobs.services import services
from offload.problems import Problem
from offload.serving.request_state import state_of

# Bounds of the milliseconds until a browser's EventSource connects again: random for each stream,
# so that those of a process that has stopped do not come back together. Without it browsers choose:
# always 3 or 5 s.
MIN_RETRY_MILLISECONDS = 1000
MAX_RETRY_MILLISECONDS = 4000
# The second bound grows with the streams of the process, so that about this many come back in a
# second. A process can take some 300 (3 ms of CPU each). With more, new connections wait in the
# kernel behind those of the streams, also those of probes: a platform would end this process, too,
# and all streams would come back again.
STREAMS_BACK_PER_SECOND = 200


def watch_login(
    request: HttpRequest, wake: Callable[[], None] = lambda: None
) -> contextlib.AbstractContextManager[WatchedLogin]:
    """Have the caller's login checked in the block, as long as a response of a feature lasts.

    The response has to end soon after `ended` is true. `wake` is called at that moment.
    """
    return services.watched_logins.watch(login_of(request), wake)


def saw_the_end(request: HttpRequest, job: Job) -> bool:
    """Whether the caller's `Last-Event-ID` is that of the job's last event."""
    return job.final and _last_event_id(request) >= job.version


async def wait_for_end(request: HttpRequest, job: Job, seconds: float) -> Job:
    """Wait for the end of a job, `seconds` at most.

    The wait also ends when the process is told to stop. It counts as an event stream: it costs as
    little, and it would keep a request's place.

    Returns:
        The job as it is then. Only where it has ended it has the large fields, such as its result.

    Raises:
        Problem: 503, there are too many streams; 429, the owner has too many of them; 401, the
            login has ended meanwhile; 404, the job has expired meanwhile.
    """
    notifier = services.running_notifier()
    async with notifier.watch(job.pk, job.owner) as changes:
        with watch_login(request, changes.wake) as login, contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await _until_end(request, job, changes, login)
        is_there, job = not notifier.has_expired(job.pk), notifier.newest(job)

    found = await notifier.reads.whole(job) if is_there and job.final else job
    if found is None or not is_there:
        raise no_such_job(job.pk)
    return found


async def _until_end(request: HttpRequest, job: Job, changes: Changes, login: WatchedLogin) -> None:
    notifier = services.running_notifier()
    stopping = False

    def stop() -> None:
        nonlocal stopping
        stopping = True
        changes.wake()

    if state := state_of(request):
        state.declare_wait(stop)
    job = notifier.newest(job)
    while not (job.final or stopping or notifier.has_expired(job.pk)):
        await changes.wait()
        if login.ended:
            raise Problem(401, LOGIN_ENDED, headers={"WWW-Authenticate": "Bearer"})
        job = notifier.newest(job)


async def start_events(request: HttpRequest, job: Job) -> AsyncIterator[bytes]:
    """The body of an event stream, which has begun: what it raises is raised here.

    Raises:
        Problem: 429, the owner has too many streams.
    """
    events = _events(job, _last_event_id(request), login_of(request))
    first = await anext(events)
    return _with_first(first, events)


async def _with_first(first: bytes, others: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    async with contextlib.aclosing(others):
        yield first
        async for event in others:
            yield event


async def _events(
    job: Job, last_seen: int, caller_login: Login | None
) -> AsyncGenerator[bytes, None]:
    """The state now, unless the client has seen it, then every change until the end.

    It ends before that if the caller's login ends, and if the job's row is deleted.
    In long silences it has a comment line.
    """
    notifier, logins = services.running_notifier(), services.watched_logins

    async with notifier.watch(job.pk, job.owner) as changes:
        with notifier.stream() as open_streams, logins.watch(caller_login, changes.wake) as login:
            job = notifier.newest(job)
            retry = f"retry: {_retry_milliseconds(open_streams)}\n"
            yield _event(job, retry) if job.version > last_seen else f"{retry}\n".encode()

            while not (job.final or notifier.has_expired(job.pk)):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(conf().idle_stream_heartbeat):
                        await changes.wait()
                if login.ended:
                    yield f": {LOGIN_ENDED}\n\n".encode()
                    return

                newest = notifier.newest(job)
                yield b": still here\n\n" if newest is job else _event(newest)
                job = newest


def _retry_milliseconds(open_streams: int) -> int:
    """When a browser connects again after the end of its stream."""
    needed = 1000 * open_streams // STREAMS_BACK_PER_SECOND
    return random.randint(MIN_RETRY_MILLISECONDS, max(MAX_RETRY_MILLISECONDS, needed))


def _event(job: Job, retry: str = "") -> bytes:
    name = job.status if job.final else "progress"
    data = summary_of(job).model_dump_json()
    return f"id: {job.version}\n{retry}event: {name}\ndata: {data}\n\n".encode()


def _last_event_id(request: HttpRequest) -> int:
    """The version that the caller has seen; -1 where it sent none, or nonsense."""
    sent = request.headers.get("Last-Event-ID", "")
    return int(sent) if sent.isascii() and sent.isdigit() and len(sent) < 20 else -1
