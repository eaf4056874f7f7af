from .adapters import adefault_chat_model, ais_member, default_chat_model, is_member
from .models import ChatModel


class NoChatModel(Exception):
    pass


def _budget(model: ChatModel, member: bool) -> int:
    if member and model.max_tokens_for_members:
        return model.max_tokens_for_members
    return model.max_tokens


def _trim(text: str, tokens: int) -> str:
    return text[: tokens * 4]


async def prepare_prompt(user, text: str) -> str:
    model = await adefault_chat_model()
    if model is None:
        raise NoChatModel
    member = await ais_member(user) if user else False
    return _trim(text, _budget(model, member))


def prepare_prompt_sync(user, text: str) -> str:
    """For the scheduler's threads, which have no event loop."""
    model = default_chat_model()
    if model is None:
        raise NoChatModel
    member = is_member(user) if user else False
    return _trim(text, _budget(model, member))


def may_schedule(user) -> bool:
    return is_member(user)
