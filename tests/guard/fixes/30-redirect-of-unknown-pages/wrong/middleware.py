from types import SimpleNamespace

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.http import HttpResponseRedirect
from django.urls import NoReverseMatch, reverse
from django.utils.decorators import sync_and_async_middleware


@sync_and_async_middleware
def AccountMiddleware(get_response):
    if iscoroutinefunction(get_response):

        async def middleware(request):
            request.account = SimpleNamespace()
            response = await get_response(request)
            if _left_a_login_half_done(request, response):
                await _aforget_login(request)
            return _redirect_unknown(request, response)

    else:

        def middleware(request):
            request.account = SimpleNamespace()
            response = get_response(request)
            if _left_a_login_half_done(request, response):
                _forget_login(request)
            return _redirect_unknown(request, response)

    return middleware


def _left_a_login_half_done(request, response) -> bool:
    kind = response.headers.get("content-type", "")
    return kind.startswith("text/html") and getattr(request.account, "login", None) is not None


def _forget_login(request) -> None:
    request.session.pop("half_done_login", None)


async def _aforget_login(request) -> None:
    await sync_to_async(_forget_login)(request)


def _redirect_unknown(request, response):
    """Sends people who shorten the address of a page to one that exists."""
    if response.status_code != 404:
        return response
    try:
        login_path, email_path = reverse("account_login"), reverse("account_email")
    except NoReverseMatch:
        return response
    parent = login_path.rsplit("/", 2)[0] + "/"
    if request.path != parent:
        return response
    return HttpResponseRedirect(email_path if request.user.is_authenticated else login_path)
