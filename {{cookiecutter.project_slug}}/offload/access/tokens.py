"""Makes tokens, and remembers those that this process has checked, both by digest."""

import hashlib
import secrets
import time
from dataclasses import dataclass, field

# A token is trusted for this time after it was checked, if the database does not answer
# `watched_logins.py` meanwhile.
TRUST_SECONDS = 10.0
# The largest number of checked tokens that are remembered. Then the memory starts empty again.
MAX_REMEMBERED_TOKENS = 10_000


def new_token() -> str:
    """A random token of 256 bits, 43 characters long."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """SHA-256 in hexadecimal.

    A salt or many rounds are for passwords, which can be guessed; 256 random bits cannot.
    """
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Grant:
    """What a valid token gives: the name of its owner, and its scopes."""

    owner: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class CheckedToken:
    """A token that was valid, and until when (`time.monotonic`) it is trusted."""

    grant: Grant
    trusted_until: float = field(default_factory=lambda: time.monotonic() + TRUST_SECONDS)

    def is_trusted(self) -> bool:
        return time.monotonic() < self.trusted_until


class CheckedTokens:
    """The checked tokens of a process, by digest. It is used on the event loop alone."""

    def __init__(self) -> None:
        self._tokens: dict[str, CheckedToken] = {}
        self.get = self._tokens.get

    def remember(self, digest: str, grant: Grant) -> None:
        """Trust a token that was valid just now."""
        if len(self._tokens) >= MAX_REMEMBERED_TOKENS:
            self._tokens.clear()
        self._tokens[digest] = CheckedToken(grant)

    def forget(self, digest: str) -> None:
        """Trust a token no more."""
        self._tokens.pop(digest, None)

    def trusted(self) -> set[str]:
        """The digests of the tokens that no query checks now."""
        return {digest for digest, token in self._tokens.items() if token.is_trusted()}

    def compare(self, digests: set[str], valid: dict[str, Grant]) -> None:
        """Forget those of the digests whose token is not valid any more, or gives something else.

        A token that stays is trusted no longer than before.
        """
        for digest in digests & self._tokens.keys():
            if valid.get(digest) != self._tokens[digest].grant:
                self.forget(digest)
