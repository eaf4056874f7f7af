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
            if _is_unknown_parent(request, response):
                return await _aredirect(request)
            return response

    else:

        def middleware(request):
            request.account = SimpleNamespace()
            response = get_response(request)
            if _left_a_login_half_done(request, response):
                _forget_login(request)
            if _is_unknown_parent(request, response):
                return _redirect(request.user)
            return response

    return middleware


def _left_a_login_half_done(request, response) -> bool:
    kind = response.headers.get("content-type", "")
    return kind.startswith("text/html") and getattr(request.account, "login", None) is not None


def _forget_login(request) -> None:
    request.session.pop("half_done_login", None)


async def _aforget_login(request) -> None:
    await sync_to_async(_forget_login)(request)


def _is_unknown_parent(request, response) -> bool:
    """Whether somebody shortened the address of a page."""
    if response.status_code != 404:
        return False
    try:
        login_path = reverse("account_login")
        reverse("account_email")
    except NoReverseMatch:
        return False
    return request.path == login_path.rsplit("/", 2)[0] + "/"


def _redirect(user):
    return HttpResponseRedirect(
        reverse("account_email" if user.is_authenticated else "account_login")
    )


async def _aredirect(request):
    return _redirect(await request.auser())
