from enum import Enum

import aiohttp
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.models import Group

from .models import Card, Player
from .permissions import get_permissions

API_URL = "https://discord.com/api/v10"
TEAM = {Card: ["view", "change"], Player: "*"}


class Status(Enum):
    NONE = 0
    TEAM = 1
    OWNER = 2


async def fetch_roles(token: str) -> set[int]:
    timeout = aiohttp.ClientTimeout(total=10)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
        url = f"{API_URL}/users/@me/guilds/{settings.GUILD_ID}/member"
        async with session.get(url, raise_for_status=True) as answer:
            return {int(role) for role in (await answer.json())["roles"]}


def status_of(uid: int, roles: set[int]) -> Status:
    if uid in settings.OWNER_IDS:
        return Status.OWNER
    return Status.TEAM if roles & set(settings.TEAM_ROLE_IDS) else Status.NONE


async def assign_status(user, status: Status) -> None:
    user.is_staff = True
    user.is_superuser = status is Status.OWNER
    if status is Status.TEAM:
        group, created = await Group.objects.aget_or_create(name="Team")
        if created:
            await group.permissions.aadd(*get_permissions(TEAM))
        await user.groups.aadd(group)
    await user.asave()


@async_to_sync
async def configure_status(backend, user, uid, response, *args, **kwargs):
    """A step of the sign-in's pipeline."""
    if user is None:
        return
    status = status_of(int(uid), await fetch_roles(response["access_token"]))
    if status is not Status.NONE:
        await assign_status(user, status)
