from asgiref.sync import sync_to_async
from django.contrib.auth.hashers import get_hasher, identify_hasher, make_password


def verify_password(password: str, encoded: str, preferred: str = "default") -> tuple[bool, bool]:
    """Whether the password is right, and whether its hash should be renewed."""
    if password is None or not encoded or encoded.startswith("!"):
        return False, False
    preferred_hasher = get_hasher(preferred)
    try:
        hasher = identify_hasher(encoded)
    except ValueError:
        return False, False
    renew = hasher.algorithm != preferred_hasher.algorithm
    return hasher.verify(password, encoded), renew


def check_password(password: str, encoded: str, setter=None) -> bool:
    right, renew = verify_password(password, encoded)
    if setter and right and renew:
        setter(password)
    return right


async def acheck_password(password: str, encoded: str, setter=None) -> bool:
    right, renew = await sync_to_async(verify_password, thread_sensitive=False)(password, encoded)
    if setter and right and renew:
        await setter(password)
    return right


amake_password = sync_to_async(make_password, thread_sensitive=False)
