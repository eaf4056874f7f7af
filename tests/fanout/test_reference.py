"""The reference page: its examples run, and its tables say what the code says."""

import ast
import asyncio
import inspect
import json
import re
from contextlib import AsyncExitStack
from dataclasses import MISSING, Field, fields
from math import inf
from pathlib import Path
from typing import Any

import pytest
from chaos import Chaos

from offload import fanout
from offload.fanout import Cache, CircuitBreaker, Hedge, OAuth2, Retry, Upstream, gather
from offload.fanout.errors import OutcomeStatus
from offload.fanout.limits import CallLimits

pytestmark = pytest.mark.timeout(30)

PROJECT = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}"
PAGE = PROJECT / "docs/reference/fanout.md"
TEXT = PAGE.read_text()
REQUIRED = object()


class Examples(Chaos):
    """A server that answers what the page asks for."""

    async def answer_json(self, writer: asyncio.StreamWriter, document: Any) -> None:
        await self.answer(writer, json.dumps(document).encode(), more=('ETag: "1"',))

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("do_"):
            raise AttributeError(name)

        async def answer(writer: asyncio.StreamWriter, _: bytes) -> None:
            await self.answer_json(writer, [{"symbol": "ACME", "price": 12.5}])

        return answer

    async def do_sessions(self, writer: asyncio.StreamWriter, _: bytes) -> None:
        await self.answer_json(writer, {"key": "legacy"})

    async def do_oauth2(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        await self.do_token(writer, body)


def blocks() -> list[str]:
    """The Python of the page, each block at its own line."""
    found = []
    for match in re.finditer(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE):
        lines_before = TEXT[: match.start(1)].count("\n")
        found.append("\n" * lines_before + match[1])
    return found


async def test_every_example_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    opened: list[Upstream] = []
    async with Examples() as server, AsyncExitStack() as stack:
        server.delay = 0
        for block in blocks():
            source = re.sub(r"https://\w+\.example\.com", server.url, block)
            code = compile(source, PAGE, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            running = eval(code, namespace)
            if inspect.iscoroutine(running):
                await running
            for upstream in list(namespace.values()):
                if isinstance(upstream, Upstream) and upstream not in opened:
                    opened.append(upstream)
                    await stack.enter_async_context(upstream.open())
        assert {outcome.status for outcome in namespace["outcomes"].values()} == {"ok"}
        assert namespace["first"].price == 12.5
        authorizations = [headers.get("authorization") for headers in server.headers]
        assert {"Bearer token-1", "Key legacy"} <= set(authorizations)
    assert len(blocks()) >= 9


def rows(heading: str) -> dict[str, Any]:
    """The parameters and defaults of the first table after this heading."""
    table = TEXT.split(f"\n{heading}\n", 1)[1].split("\n|---", 1)[1].split("\n\n", 1)[0]
    found = {}
    for name, default in re.findall(r"^\| `(\w+)` \| (?:`(.+?)`)? ?\|", table, re.MULTILINE):
        found[name] = eval(default, vars(fanout) | {"inf": inf}) if default else REQUIRED
    return found


def default_of(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return REQUIRED if field.default is MISSING else field.default


@pytest.mark.parametrize(
    ("heading", "declared"),
    [
        ("## Upstream", Upstream),
        ("### Retry", Retry),
        ("### CircuitBreaker", CircuitBreaker),
        ("### Hedge", Hedge),
        ("### Cache", Cache),
    ],
)
def test_the_page_has_every_setting_with_its_default(heading: str, declared: Any) -> None:
    expected = {field.name: default_of(field) for field in fields(declared) if field.name != "_"}
    assert rows(heading) == expected, f"docs/reference/fanout.md, the table below {heading!r}"


def test_the_page_has_every_parameter_of_gather_and_of_oauth2() -> None:
    for heading, function in (("## gather", gather), ("## Tokens", OAuth2.__init__)):
        expected = {
            name: REQUIRED if parameter.default is parameter.empty else parameter.default
            for name, parameter in inspect.signature(function).parameters.items()
            if name != "self"
        }
        section = TEXT.split(f"\n{heading}\n", 1)[1].split("\n## ", 1)[0]
        found = re.findall(r"^\| `(\w+)` \| (?:`(.+?)`)? ?\|", section, re.MULTILINE)
        assert {
            name: eval(default, {"inf": inf}) if default else REQUIRED for name, default in found
        } == expected


def test_the_page_names_every_limit_of_a_call_every_status_and_every_metric() -> None:
    for field in fields(CallLimits):
        assert re.search(rf"`{field.name}\b", TEXT), field.name
    for status in OutcomeStatus.__args__:
        assert f"\n| `{status}` |" in TEXT
    metrics = (Path(fanout.__file__).parent / "metrics.py").read_text()
    for name in re.findall(r'"(offload_fanout_\w+)"', metrics):
        assert name in TEXT
