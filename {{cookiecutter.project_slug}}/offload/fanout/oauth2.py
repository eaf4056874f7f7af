"""OAuth 2.0: access tokens by client credentials, or by a refresh token (RFC 6749)."""

from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from math import inf
from typing import Annotated
from urllib.parse import quote_plus, urlencode

from pydantic import BaseModel, Field

from .auth import Token, TokenAuth
from .errors import AuthFailed, reason
from .upstream import Upstream


class TokenResponse(BaseModel):
    """What the authorization server answers (RFC 6749, section 5.1)."""

    # Visible ASCII (RFC 6749, appendix A.12): it is sent in a header.
    access_token: Annotated[str, Field(pattern=r"^[ -~]+$")]
    # Some servers send null where they know no lifetime.
    expires_in: float | None = None
    refresh_token: str | None = None


class OAuth2(TokenAuth):
    """The `auth` of an upstream whose tokens come from an OAuth 2.0 authorization server.

    The server is an `Upstream` itself, so that its calls have their deadlines, retries and circuit
    breaker, too.

    Args:
        server: the authorization server.
        path: of its token endpoint.
        client_id: by which this service is registered there.
        client_secret: its password there, sent in an Authorization header (RFC 6749, 2.3.1).
        scope: what the token is asked for, separated by spaces.
        parameters: further ones that the server wants, such as `{"audience": "prices"}`.
        refresh_token: the grant is this refresh token, in place of the client credentials.
        on_refresh_token: called with each new refresh token that the server gives, to store it: the
            one before may be of no use any more.
        secret_in_body: sends id and secret in the body, for servers that want them there.
    """

    def __init__(
        self,
        server: Upstream,
        path: str,
        *,
        client_id: str,
        client_secret: str,
        scope: str | None = None,
        parameters: Mapping[str, str] | None = None,
        refresh_token: str | None = None,
        on_refresh_token: Callable[[str], Awaitable[None]] | None = None,
        secret_in_body: bool = False,
    ) -> None:
        super().__init__(self._ask)
        self._server = server
        self._path = path
        self._refresh_token = refresh_token
        self._on_refresh_token = on_refresh_token
        self._form = dict(parameters or {})
        self._headers = {
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        if scope:
            self._form["scope"] = scope
        if secret_in_body:
            self._form |= {"client_id": client_id, "client_secret": client_secret}
        else:
            secret = f"{quote_plus(client_id)}:{quote_plus(client_secret)}".encode()
            self._headers["Authorization"] = "Basic " + b64encode(secret).decode()

    async def _ask(self) -> Token:
        if self._refresh_token:
            grant = {"grant_type": "refresh_token", "refresh_token": self._refresh_token}
        else:
            grant = {"grant_type": "client_credentials"}

        call = self._server.request(
            "POST",
            self._path,
            headers=self._headers,
            body=urlencode(self._form | grant).encode(),
            # A second access token does no harm. A refresh token may be good for one use only.
            idempotent=not self._refresh_token,
        )
        outcome = await call.into(TokenResponse).outcome()
        if outcome.value is None:
            error = outcome.error or AuthFailed(
                "The authorization server answered without a token."
            )
            raise AuthFailed(
                f"The authorization server {self._server.name!r} gave no token: {reason(error)}."
            ) from error

        given = outcome.value
        if given.refresh_token and given.refresh_token != self._refresh_token:
            await self._keep(given.refresh_token)
        return Token(given.access_token, inf if given.expires_in is None else given.expires_in)

    async def _keep(self, refresh_token: str) -> None:
        if not self._refresh_token:
            # Client credentials need none.
            return
        self._refresh_token = refresh_token
        if self._on_refresh_token:
            await self._on_refresh_token(refresh_token)
