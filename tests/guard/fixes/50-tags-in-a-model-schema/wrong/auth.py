from dataclasses import dataclass

from django.core import signing
from ninja.security import HttpBearer


@dataclass(frozen=True)
class Token:
    owner_id: int


class TokenAuth(HttpBearer):
    async def authenticate(self, request, token: str) -> Token | None:
        try:
            return Token(owner_id=int(signing.loads(token, max_age=86400)))
        except (signing.BadSignature, ValueError):
            return None
