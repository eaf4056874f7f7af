"""The question `websockets`: without it there is no trace, and with it the page can be followed."""

import os
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from .conftest import SHARED, bake, run
from .pages import PROJECT, follow

# What a service without WebSockets does not have. The serving room knows how to hand a connection
# over, the linter knows the libraries, and the handbook says when to choose them.
TRACES = re.compile(
    r"import channels|from channels|channels[-_]redis|CHANNEL_LAYERS|offload[./]sockets"
    r"|config[./]consumers|/ws/|job_socket|with_socket|new WebSocket|websockets\.md|^websockets[=~]"
    r"|^channels|\"channels\.\*\"",
    re.MULTILINE,
)
# The layers name a room that a service may not have.
ALLOWED = {
    *("offload_dev/contracts.toml", "offload_dev/lint/origins/libraries.toml"),
    "docs/changelog.md",
}


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service with WebSockets."""
    folder = tmp_path_factory.mktemp("websockets")
    made = bake(folder, project_name="Atlas", package="atlas_core", example="no", websockets="yes")
    assert made.returncode == 0, made.stdout
    return folder / "atlas"


def traces(project: Path) -> set[str]:
    """The files with a trace of WebSockets, also in their names."""
    found = set()
    for path in project.rglob("*"):
        name = str(path.relative_to(project))
        if (
            path.is_dir()
            or "cache" in name
            or ".venv" in name
            or name.startswith(("var/", ".git/"))
        ):
            continue
        text = f"{name}\n{path.read_text(encoding='utf-8', errors='replace')}"
        if TRACES.search(text):
            found.add(name)
    return found - ALLOWED


def test_without_websockets_there_is_no_trace_of_them(with_example: Path, chosen: Path) -> None:
    assert not traces(with_example)
    expected = {"config/asgi.py", "config/settings.py", "requirements/base.txt", "pyproject.toml"}
    assert expected <= traces(chosen), "what is looked for is there where it was chosen"


def test_the_lists_of_requirements_are_as_make_lock_writes_them(
    with_example: Path, chosen: Path
) -> None:
    for name in ("base.txt", "dev.txt"):
        plain, more = (
            (project / "requirements" / name).read_text() for project in (with_example, chosen)
        )
        names = re.findall(r"^([\w.-]+)==", more, re.MULTILINE)
        assert names == sorted(names)
        added = set(names) - set(re.findall(r"^([\w.-]+)==", plain, re.MULTILINE))
        assert added == {"channels", "channels-redis", "msgpack", "websockets"}
        for entry in re.split(r"\n(?=\w)", more):
            assert "--hash=sha256:" in entry
        assert {line for line in plain.splitlines() if "==" in line} <= set(more.splitlines())
    assert "channels~=" in (chosen / "requirements/base.in").read_text()
    assert not list(chosen.glob("requirements/websockets.*"))
    assert not list(with_example.glob("requirements/websockets.*"))


@pytest.mark.timeout(900)
def test_the_page_of_websockets_can_be_followed(chosen: Path) -> None:
    if not find_spec("channels"):
        if os.environ.get("REQUIRE_CHANNELS"):
            pytest.fail("REQUIRE_CHANNELS is set and Django Channels is not installed")
        pytest.skip("NO CHANNELS: nobody followed the page of WebSockets")
    assert follow("reference/websockets.md", chosen, "atlas_core")
    checked = run("make", "check", *SHARED, cwd=chosen)
    assert checked.returncode == 0, checked.stdout
    tested = run("make", "test", "ARGS=tests/test_board.py", *SHARED, cwd=chosen)
    assert tested.returncode == 0, tested.stdout


def test_the_linter_knows_consumers(chosen: Path) -> None:
    """What blocks in their methods is found, where a service keeps them."""
    wrong = chosen / "atlas_core" / "wrong.py"
    wrong.write_text(
        '"""Blocks."""\n\nimport time\n\n'
        "from channels.generic.websocket import AsyncJsonWebsocketConsumer\n\n\n"
        "class Wrong(AsyncJsonWebsocketConsumer):\n"
        "    async def receive_json(self, content: object) -> None:\n"
        "        self.pause()\n\n"
        "    def pause(self) -> None:\n"
        "        time.sleep(1)\n"
    )
    try:
        found = run("python", "-m", "offload_dev.lint", str(wrong), cwd=chosen)
    finally:
        wrong.unlink()
    assert "OFF103" in found.stdout, found.stdout


def test_the_page_has_every_close_code() -> None:
    page = (PROJECT / "docs/reference/websockets.md").read_text()
    source = (PROJECT / "offload/sockets/job_consumer.py").read_text()
    codes = re.findall(r"^CLOSE_\w+ = (\d+)", source, re.MULTILINE)
    assert len(codes) == 4
    assert all(f"| {code} |" in page for code in codes)
