from dataclasses import dataclass

from django.contrib.auth import get_user_model


@dataclass(frozen=True)
class User:
    id: int
    username: str
    password: str
    is_active: bool


class UsersRepository:
    async def by_name(self, username: str) -> User | None:
        rows = get_user_model().objects.filter(username=username)
        row = await rows.values("id", "username", "password", "is_active").afirst()
        return User(**row) if row else None

    async def set_password(self, user_id: int, encoded: str) -> None:
        await get_user_model().objects.filter(pk=user_id).aupdate(password=encoded)
