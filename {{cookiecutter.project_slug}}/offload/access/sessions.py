"""Reads who is logged in by a session, and changes nothing.

Django's own `get_user` ends a session that does not fit, and renews one that an older SECRET_KEY
has signed. Only Django's middleware could tell the browser, and the API's chain has none of it.
"""

from collections.abc import Collection
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.crypto import constant_time_compare


def read_users(keys: Collection[str]) -> dict[str, Any]:
    """The users who are logged in, by the keys of their sessions.

    Two queries for any number of keys; where sessions are not in the database, one read for each.
    """
    if not keys:
        return {}
    sessions = _read_sessions(keys)
    ids = {key: _user_id(session) for key, session in sessions.items()}
    manager = get_user_model()._default_manager  # noqa: SLF001  # public, in spite of its name
    users = manager.in_bulk({pk for pk in ids.values() if pk is not None})
    found = {key: users.get(pk) for key, pk in ids.items()}
    return {
        key: user
        for key, user in found.items()
        if user is not None and user.is_active and _fits(user, sessions[key])
    }


def session_store() -> Any:
    """The class of `settings.SESSION_ENGINE`."""
    return import_module(settings.SESSION_ENGINE).SessionStore


def _read_sessions(keys: Collection[str]) -> dict[str, dict[str, Any]]:
    store = session_store()
    if not hasattr(store, "get_model_class"):
        return {key: store(key).load() for key in keys}

    rows = store.get_model_class().objects.filter(
        session_key__in=keys, expire_date__gt=timezone.now()
    )
    return {row.session_key: row.get_decoded() for row in rows}


def _user_id(session: dict[str, Any]) -> Any:
    try:
        key: Any = get_user_model()._meta.pk  # noqa: SLF001  # public, in spite of its name
        return key.to_python(session.get(SESSION_KEY))
    except ValidationError:
        # From a time when users had keys of another type.
        return None


def _fits(user: Any, session: dict[str, Any]) -> bool:
    """Whether the session is from a login of today's settings, with today's password."""
    if session.get(BACKEND_SESSION_KEY) not in settings.AUTHENTICATION_BACKENDS:
        return False
    sent = session.get(HASH_SESSION_KEY, "")
    hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return any(constant_time_compare(sent, each) for each in hashes)
