"""The WebSocket `/ws/jobs`: events of several jobs, and cancels. `messages.py` has its language."""

import asyncio
import contextlib
import logging
from contextlib import AsyncExitStack
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer

from offload.access.scopes import WRITE, require_scope
from offload.access.watched_logins import LOGIN_ENDED, WatchedLogin
from offload.conf import conf
from offload.jobs.client import cancel, find_summary
from offload.jobs.control import no_such_job
from offload.jobs.models import Job
from offload.jobs.services import services
from offload.problems import Problem
from offload.serving.types import Receive, Scope, Send
from offload.serving.unavailable import unavailable
from offload.sockets.messages import (
    AnyCommand,
    Cancel,
    Ping,
    Subscribe,
    Told,
    Unsubscribe,
    close_reason,
    read_command,
    told_of,
    told_problem,
)
from offload.sockets.subscriptions import Subscription, Subscriptions

logger = logging.getLogger("offload.sockets")

# Close codes of this service: 4000 and the HTTP status. Those below 4000 are the protocol's own:
# 1009 a message is too large, 1011 an error of the service, 1012 the process stops.
CLOSE_LOGIN_ENDED = 4401
CLOSE_SLOW_READER = 4408
CLOSE_TOO_MANY = 4429
CLOSE_ERROR = 1011


class JobConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One client. `SocketLogin` has let it in.

    Two tasks: Channels calls `receive` for one message after the other, and another task sends the
    events. A client that does not read its answers is not read from.
    """

    # The notifier tells of changes, so no channel layer is needed: none has this name.
    channel_layer_alias = "none"

    subscriptions: Subscriptions
    login: WatchedLogin
    # Something has closed the socket: nothing more is sent.
    is_closed = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the WebSocket, and leave everything that it has opened, also when cancelled."""
        async with AsyncExitStack() as self.opened:
            await super().__call__(scope, receive, send)

    async def connect(self) -> None:
        """Accept the WebSocket. It takes one of its owner's places, as each subscription does."""
        await self.accept(self.scope["subprotocol"])
        notifier, owner = services.running_notifier(), self.scope["owner"]
        try:
            self.opened.enter_context(notifier.place(owner))
        except Problem as problem:
            await self.end(CLOSE_TOO_MANY, problem.detail)
            return

        self.subscriptions = Subscriptions(notifier, owner)
        self.opened.push_async_callback(self.subscriptions.close)
        watched = services.watched_logins.watch(self.scope["login"], self.subscriptions.wake)
        self.login = self.opened.enter_context(watched)
        self.opened.push_async_callback(_end_task, asyncio.create_task(self._send_events()))

    async def end(self, code: int, reason: str) -> None:
        """Close the WebSocket, once."""
        if not self.is_closed:
            self.is_closed = True
            await self.close(code, close_reason(reason))

    # --- what the client says ---

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Obey one message."""
        if self.is_closed:
            return

        ref: str | None = None
        try:
            if text_data is None:
                raise Problem(422, "send text: one JSON object in each message")  # noqa: TRY301
            command = read_command(text_data)
            ref = command.ref
            await self._obey(command)
        except Exception as error:  # noqa: BLE001  # the client and the log are told
            await self._answer_error(error, ref)

    async def _answer_error(self, error: Exception, ref: str | None) -> None:
        """Tell the client of a command that failed.

        A variable of `receive` with the problem, to which the error leads, would keep the consumer
        and the message until the garbage collector runs.
        """
        problem = unavailable(error)
        if problem is None:
            await self._end_after(error)
        else:
            await self._say(told_problem(problem, ref))

    async def _obey(self, command: AnyCommand) -> None:
        match command:
            case Subscribe():
                await self._subscribe(command)
            case Unsubscribe():
                for job_id in command.jobs:
                    await self.subscriptions.remove(job_id)
                await self._say(Told(type="unsubscribed", ref=command.ref))
            case Cancel():
                require_scope(WRITE, self.scope["scopes"])
                job = await cancel(await find_summary(command.job, self.scope["owner"]))
                await self._say(told_of(job, "accepted", command.ref))
            case Ping():
                await self._say(Told(type="pong", ref=command.ref))

    async def _subscribe(self, command: Subscribe) -> None:
        """Subscribe to each of the jobs. That one of them fails harms none of the others."""
        ids = [wanted.id for wanted in command.jobs]
        rows = Job.objects.filter(owner=self.scope["owner"], pk__in=ids)
        found = {job.pk: job async for job in rows.defer(*Job.LARGE_FIELDS)}
        for wanted in command.jobs:
            job = found.get(wanted.id)
            try:
                if job is None:
                    raise no_such_job(wanted.id)
                await self.subscriptions.add(job, wanted.after)
            except Problem as problem:
                await self._say(told_problem(problem, command.ref, wanted.id))
            else:
                await self._say(told_of(job, "subscribed", command.ref))
                self.subscriptions.mark(wanted.id)

    # --- what it is told ---

    async def _send_events(self) -> None:
        """Send each change until the socket is closed, or the login ends."""
        try:
            while not self.is_closed:
                subscription = await self.subscriptions.next_changed()
                if subscription is not None:
                    await self._send_event(subscription)
                if self.login.ended:
                    await self.end(CLOSE_LOGIN_ENDED, LOGIN_ENDED)
        except Exception as error:  # noqa: BLE001  # the client and the log are told
            await self._end_after(error)

    async def _send_event(self, subscription: Subscription) -> None:
        """Send the newest state of a job, unless the client has it. The last one ends the watch."""
        notifier = services.running_notifier()
        job = subscription.job = notifier.newest(subscription.job)
        if notifier.has_expired(job.pk):
            await self.subscriptions.remove(job.pk)
            await self._say(Told(type="expired", id=job.pk))
            return

        if job.final:
            await self.subscriptions.remove(job.pk)
        if job.version > subscription.seen:
            subscription.seen = job.version
            await self._say(told_of(job, job.status if job.final else "progress"))

    async def _say(self, told: Told) -> None:
        """Send, or close if the client reads too slowly."""
        if self.is_closed:
            return

        try:
            # After the whole of `write_timeout` a client that reads nothing at all is cut off.
            async with asyncio.timeout(conf().write_timeout / 2):
                await self.send(told.model_dump_json())
        except TimeoutError:
            # Sent as soon as the client reads again.
            await self.end(CLOSE_SLOW_READER, "You read too slowly: connect again.")

    async def _end_after(self, error: Exception) -> None:
        """Close after an error, unless it is uvicorn's for a client that has left."""
        if isinstance(error, OSError):
            return
        logger.error("A WebSocket failed and is closed: this is a bug.", exc_info=error)
        with contextlib.suppress(OSError):
            await self.end(CLOSE_ERROR, "This is our fault: connect again.")


async def _end_task(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
