"""Sets the headers of Django's SecurityMiddleware and XFrameOptionsMiddleware, and policies."""

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from offload.conf import conf
from offload.serving.fast import header_stores
from offload.serving.middleware.base import GetResponse, Middleware
from offload.serving.response_headers import FRAME_OPTIONS, plain_headers


class SecurityHeaders(Middleware):
    """Sets the headers from Django's own settings. A header that the view has set stays."""

    def __init__(self, get_response: GetResponse) -> None:
        super().__init__(get_response)
        plain = plain_headers()
        secure = plain | transport_security()
        self.sets_more_if_secure = secure != plain
        self.fast = conf().fast
        # By whether the request is secure, and by whether the view may be framed.
        self.headers = {
            (False, False): plain,
            (True, False): secure,
            (False, True): _without_frame_options(plain),
            (True, True): _without_frame_options(secure),
        }
        self.stores = {key: header_stores.store_of(found) for key, found in self.headers.items()}

    def after(self, request: HttpRequest, response: HttpResponseBase, from_before: None) -> None:
        is_secure = self.sets_more_if_secure and request.is_secure()
        # Set by Django's decorator `xframe_options_exempt`.
        may_be_framed = getattr(response, "xframe_options_exempt", False)

        if self.fast:
            header_stores.set_defaults(response, self.stores[is_secure, may_be_framed])
        else:
            for name, value in self.headers[is_secure, may_be_framed].items():
                response.headers.setdefault(name, value)
        # Set by ninja: the owner. The answer is for nobody else, and no cache has to guess.
        if getattr(request, "auth", None) is not None:
            response.headers.setdefault("Cache-Control", "no-store")


def transport_security() -> dict[str, str]:
    """The header for responses over HTTPS, if the settings ask for it."""
    age = settings.SECURE_HSTS_SECONDS
    if not age:
        return {}

    value = f"max-age={age}"
    if settings.SECURE_HSTS_INCLUDE_SUBDOMAINS:
        value += "; includeSubDomains"
    if settings.SECURE_HSTS_PRELOAD:
        value += "; preload"
    return {"Strict-Transport-Security": value}


def _without_frame_options(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name != FRAME_OPTIONS}
