from importlib import import_module

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.sessions.backends.base import UpdateError
from django.core.exceptions import SuspiciousOperation


class SessionMiddleware:
    saving_types = ["http.response.start", "websocket.accept", "websocket.close"]

    def __init__(self, inner):
        self.inner = inner
        self.store = import_module(settings.SESSION_ENGINE).SessionStore

    async def __call__(self, scope, receive, send):
        instance = SessionInstance(self, scope)
        await instance.load()
        return await self.inner(instance.scope, receive, instance.wrap(send))


class SessionInstance:
    def __init__(self, middleware: SessionMiddleware, scope: dict):
        self.middleware = middleware
        self.scope = dict(scope)

    async def load(self) -> None:
        key = self.scope.get("cookies", {}).get(settings.SESSION_COOKIE_NAME)
        self.scope["session"] = self.middleware.store(key)
        await database_sync_to_async(self.scope["session"]._get_session)()

    def wrap(self, send):
        async def sending(message):
            session = self.scope["session"]
            if (
                message["type"] in self.middleware.saving_types
                and message.get("status", 200) != 500
                and (session.modified or settings.SESSION_SAVE_EVERY_REQUEST)
            ):
                self.save_session()
            return await send(message)

        return sending

    def save_session(self) -> None:
        try:
            self.scope["session"].save()
        except UpdateError:
            raise SuspiciousOperation("The session was deleted before the request ended.") from None
