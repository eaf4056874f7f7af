from .models import ChatModel, Membership


def is_member(user) -> bool:
    return Membership.objects.filter(owner=user, active=True).exists()


async def ais_member(user) -> bool:
    return await Membership.objects.filter(owner=user, active=True).aexists()


def default_chat_model() -> ChatModel | None:
    return ChatModel.objects.order_by("id").first()


async def adefault_chat_model() -> ChatModel | None:
    return await ChatModel.objects.order_by("id").afirst()
