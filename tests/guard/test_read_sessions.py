"""Sessions that a request has read before: the lines that then find them in memory."""

from pathlib import Path

import pytest
from example_shop import findings
from twins import numbers

VIEW = (
    "async def view(request):\n    {}\n    request.session['seen'] = request.session['seen'] + 1\n"
)
PAGE = (
    "from django.views import View\n\n"
    "class Known:\n    async def dispatch(self, request):\n        {}\n"
    "        return await super().dispatch(request)\n\n"
    "class Page(Known, View):\n    async def get(self, request):\n"
    "        return request.session.pop('token', None)\n"
)
MIDDLEWARE = (
    "def known(get_response):\n    def middleware(request):\n        {}\n"
    "        return get_response(request)\n\n    return middleware\n"
)
POP = "async def view(request):\n    return request.session.pop('token', None)\n"
READS = ("OFF103", "error")


@pytest.mark.parametrize(
    ("line", "is_read"),
    [
        ("await request.auser()", True),
        ("await request.session.aget('seen')", True),
        ("await alogin(request, 1)", True),
        ("user = await request.auser()", True),
        ("await asyncio.sleep(0)", False),
        ("auser = request", False),
    ],
)
def test_an_earlier_line_reads_the_session(tmp_path: Path, line: str, is_read: bool) -> None:
    assert (READS not in numbers(tmp_path, VIEW.format(line))) is is_read


def test_a_later_line_is_too_late(tmp_path: Path) -> None:
    code = VIEW.format("pass").replace("return ", "") + "    await request.auser()\n"
    assert READS in numbers(tmp_path, code)


@pytest.mark.parametrize(("line", "is_read"), [("await request.auser()", True), ("pass", False)])
def test_a_mixin_reads_the_session(tmp_path: Path, line: str, is_read: bool) -> None:
    assert (READS not in numbers(tmp_path, PAGE.format(line))) is is_read


@pytest.mark.parametrize(
    ("line", "is_read"),
    [
        ("request.name = request.user.username", True),
        ("request.name = request.session.get('name')", True),
        ("request.name = request.path", False),
    ],
)
def test_a_middleware_reads_the_session_of_each_request(
    tmp_path: Path, line: str, is_read: bool
) -> None:
    found = numbers(tmp_path, POP, middleware=MIDDLEWARE.format(line))
    assert (READS not in found) is is_read


@pytest.mark.parametrize("method", ["save()", "flush()", "cycle_key()"])
def test_what_writes_a_session_waits_for_its_store(tmp_path: Path, method: str) -> None:
    code = f"async def view(request):\n    await request.auser()\n    request.session.{method}\n"
    assert READS in numbers(tmp_path, code)


@pytest.mark.parametrize(
    ("line", "is_read"),
    [
        ("request.name = request.user.username", True),
        ("request.name = request.path", False),
    ],
)
def test_a_sync_middleware_reads_the_user_of_each_request(
    tmp_path: Path, line: str, is_read: bool
) -> None:
    code = "async def view(request):\n    return request.user.username\n"
    found = numbers(tmp_path, code, middleware=MIDDLEWARE.format(line))
    assert (("OFF102", "error") not in found) is is_read


def test_an_async_middleware_does_not(tmp_path: Path) -> None:
    code = "async def view(request):\n    return request.user.username\n"
    middleware = MIDDLEWARE.replace("    def middleware", "    async def middleware").format(
        "request.name = request.user.username"
    )
    assert ("OFF102", "error") in numbers(tmp_path, code, middleware=middleware)


@pytest.mark.parametrize(("decorator", "count"), [("login_required", 0), ("csrf_exempt", 1)])
def test_a_decorator_that_asks_who_is_logged_in_reads_the_session(
    tmp_path: Path, decorator: str, count: int
) -> None:
    code = (
        "from django.contrib.auth.decorators import login_required\n"
        "from django.views.decorators.csrf import csrf_exempt\n\n"
        f"@{decorator}\nasync def view(request):\n    return request.session.get('a')\n"
    )
    assert [each.rule for each in findings(tmp_path, code)].count("OFF103") == count
