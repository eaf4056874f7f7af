from .models import Member


class EmailBackend:
    async def aauthenticate(self, request, email: str | None = None, password: str | None = None):
        if email is None or password is None:
            return None
        member = await Member.objects.filter(email__iexact=email).afirst()
        if member is not None and await member.acheck_password(password):
            return member
        return None

    async def aget_user(self, user_id: int):
        return await Member.objects.filter(pk=user_id).afirst()
