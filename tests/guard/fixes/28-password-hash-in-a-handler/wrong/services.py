import secrets

from django.contrib.auth.hashers import PBKDF2PasswordHasher

from .repository import User, UsersRepository


class WrongCredentials(Exception):
    pass


class PasswordService:
    def __init__(self):
        self._hasher = PBKDF2PasswordHasher()

    def encode(self, password: str) -> str:
        return self._hasher.encode(password, salt=secrets.token_urlsafe(12))

    def matches(self, password: str, encoded: str) -> bool:
        return self._hasher.verify(password, encoded)


class UsersService:
    def __init__(self, repository: UsersRepository, passwords: PasswordService):
        self.repository = repository
        self.passwords = passwords

    async def authenticate(self, username: str, password: str) -> User:
        user = await self.repository.by_name(username)
        if user is None or not user.is_active:
            raise WrongCredentials
        if not self.passwords.matches(password, user.password):
            raise WrongCredentials
        return user

    async def change_password(self, user: User, password: str) -> None:
        await self.repository.set_password(user.id, self.passwords.encode(password))
