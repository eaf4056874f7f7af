from django.db import models

from .hashing import acheck_password, amake_password, check_password


class Member(models.Model):
    email = models.EmailField(unique=True)
    password = models.CharField(max_length=128)

    def check_password(self, raw: str) -> bool:
        return check_password(raw, self.password)

    async def acheck_password(self, raw: str) -> bool:
        async def setter(raw: str) -> None:
            self.password = await amake_password(raw)
            await self.asave(update_fields=["password"])

        return await acheck_password(raw, self.password, setter)
