from datetime import datetime, timedelta, timezone

from asgiref.sync import sync_to_async

from .models import Membership

TRIAL_DAYS = 14


def describe_membership(membership: Membership | None) -> str:
    """One of: trial, expired, member, leaving, none."""
    if membership is None:
        return "none"
    now = datetime.now(tz=timezone.utc)
    if membership.plan == Membership.Plan.TRIAL:
        if membership.renews_at is None:
            membership.renews_at = now + timedelta(days=TRIAL_DAYS)
            membership.save()
        return "trial" if membership.renews_at > now else "expired"
    if membership.recurring and membership.renews_at and membership.renews_at > now:
        return "member"
    if membership.renews_at and membership.renews_at > now:
        return "leaving"
    return "expired"


def get_membership_state(email: str) -> str:
    return describe_membership(Membership.objects.filter(owner__email=email).first())


async def aget_membership_state(user) -> str:
    membership = await Membership.objects.filter(owner=user).afirst()
    return describe_membership(membership)


async def ais_member(user) -> bool:
    state = await aget_membership_state(user)
    return state in ("member", "leaving", "trial")


@sync_to_async
def aset_recurring(email: str, recurring: bool) -> int:
    return Membership.objects.filter(owner__email=email).update(recurring=recurring)
