from asgiref.sync import async_to_sync
from django.conf import settings
from telegram import Bot


class SyncBot:
    """Lets views and tasks, which are synchronous, use the async bot."""

    def __init__(self, token: str):
        self._token = token

    def __getattr__(self, name: str):
        async def call(*args, **kwargs):
            async with Bot(self._token) as bot:
                return await getattr(bot, name)(*args, **kwargs)

        return async_to_sync(call)


sync_bot = SyncBot(settings.TELEGRAM_TOKEN)
