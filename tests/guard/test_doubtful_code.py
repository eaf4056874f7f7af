"""What nothing runs for certain: it is only likely to be wrong."""

from pathlib import Path

import pytest
from example_shop import findings
from twins import numbers

from offload_dev.lint.calls.at_start import NO_REQUEST, UNRUN

URLS = "from shop import views\n\nurlpatterns = [LINE]\n"
LOADS = "def load():\n    return requests.get('https://x.test')\n\n"


def test_a_serializer_that_no_view_names_is_not_run(tmp_path: Path) -> None:
    code = LOADS + (
        "class Login(serializers.Serializer):\n    def save(self):\n        return load()\n\n"
        "class Logins(View):\n    def post(self, request):\n        return NAME(request.POST)\n"
    )
    urls = URLS.replace("LINE", "views.Logins.as_view()")
    for name, count in {"Login": 1, "str": 0}.items():
        found = findings(tmp_path / name, code.replace("NAME", name), urls=urls)
        assert [each.rule for each in found].count("OFF405") == count, name


SLOW = "async def {}(self):\n        time.sleep(1)\n"


TOOL_OF_LIBRARY = "from langchain_core.tools import BaseTool\n\nclass Find(BaseTool):\n    "


@pytest.mark.parametrize(
    ("code", "line", "likely"),
    [
        # A method that any object may have.
        ("class Store:\n    " + SLOW.format("load"), "Store(), it.load()", UNRUN),
        ("class Store:\n    " + SLOW.format("load"), "await Store().load()", ""),
        ("class Store:\n    " + SLOW.format("load_all"), "Store(), it.load_all()", NO_REQUEST),
        # A private method that the library would have to call.
        (TOOL_OF_LIBRARY + SLOW.format("_check_link"), "Find()", UNRUN),
        (TOOL_OF_LIBRARY + SLOW.format("_arun"), "await Find().ainvoke('')", NO_REQUEST),
        # A class of a library of which nobody makes an object.
        (TOOL_OF_LIBRARY + SLOW.format("check"), "1", UNRUN),
        (TOOL_OF_LIBRARY + SLOW.format("check"), "await Find().check()", ""),
    ],
)
def test_what_no_request_runs_for_certain_is_a_warning(
    tmp_path: Path, code: str, line: str, likely: str
) -> None:
    urls = URLS.replace("LINE", "views.view")
    code += f"\nasync def view(request, it):\n    return {line}\n"
    found = findings(tmp_path, code, urls=urls)
    assert [(each.rule, each.likely) for each in found] == [("OFF103", likely)]


def test_the_async_half_of_a_decorator_runs_only_with_an_async_function(tmp_path: Path) -> None:
    code = (
        "import inspect\n\ndef slowly(f):\n    if inspect.iscoroutinefunction(f):\n"
        "        async def wrapper(*args):\n            time.sleep(1)\n"
        "            return await f(*args)\n        return wrapper\n"
        "    def plain(*args):\n        return f(*args)\n    return plain\n\n"
        "@slowly\nKIND load():\n    return 1\n\nasync def view(request):\n    AWAIT load()\n"
    )
    urls = URLS.replace("LINE", "views.view")
    for kind, awaits in {"async def": "await", "def": ""}.items():
        code_of_kind = code.replace("KIND", kind).replace("AWAIT", awaits)
        found = numbers(tmp_path / kind.replace(" ", "_"), code_of_kind, urls=urls)
        assert (("OFF103", "error") in found) is bool(awaits), kind
