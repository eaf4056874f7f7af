from datetime import timedelta

from django.utils import timezone
from fastapi import HTTPException
from starlette.requests import Request
from starlette.websockets import WebSocket

from .models import UsageRecord


class UsageLimiter:
    def __init__(self, allowed: int, allowed_for_members: int, window_seconds: int, bucket: str):
        self.allowed = allowed
        self.allowed_for_members = allowed_for_members
        self.window_seconds = window_seconds
        self.bucket = bucket

    def __call__(self, request: Request):
        """Used as a plain dependency: FastAPI runs it in its thread pool."""
        if not request.user.is_authenticated:
            return
        owner = request.user.object
        used = self._used(owner).count()
        self._refuse_if_over(used, "premium" in request.auth.scopes)
        UsageRecord.objects.create(owner=owner, bucket=self.bucket)

    async def check_socket(self, websocket: WebSocket):
        if not websocket.scope["user"].is_authenticated:
            return
        owner = websocket.scope["user"].object
        used = await self._used(owner).acount()
        self._refuse_if_over(used, "premium" in websocket.scope["auth"].scopes)
        await UsageRecord.objects.acreate(owner=owner, bucket=self.bucket)

    def _used(self, owner):
        since = timezone.now() - timedelta(seconds=self.window_seconds)
        return UsageRecord.objects.filter(owner=owner, bucket=self.bucket, created_at__gte=since)

    def _refuse_if_over(self, used: int, member: bool):
        limit = self.allowed_for_members if member else self.allowed
        if used >= limit:
            raise HTTPException(status_code=429, detail="Too many messages for now.")
