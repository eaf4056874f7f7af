"""Reads of connections that the other side may keep open for ever."""

from pathlib import Path

import pytest
from twins import numbers

SERVER = """
async def handle(reader, writer):
    line = {read}
    writer.write(line)

async def view(request):
    await asyncio.start_server(handle, "0.0.0.0", 9)
"""
METHOD = """
class Server:
    async def on_client(self, reader, writer):
        async with asyncio.Lock():
            return await reader.readexactly(4)

    async def run(self):
        await asyncio.start_unix_server(self.on_client, "/tmp/x")

async def view(request):
    await Server().run()
"""
CLIENT = """
async def view(request):
    reader, writer = await {opened}
    writer.write(b"status")
    return {read}
"""
OPEN = 'asyncio.open_connection("db", 9)'
READ = "await reader.readline()"
LIMITED = "await asyncio.wait_for(reader.readline(), 5)"
WHOLE = """
async def bounded(reader, writer):
    await asyncio.wait_for(handle(reader, writer), timeout=5)
"""
WRONG = {
    "server": SERVER.format(read=READ),
    "method": METHOD,
    "client": CLIENT.format(opened=OPEN, read=READ),
    "opened_with_a_limit": CLIENT.format(opened=f"asyncio.wait_for({OPEN}, 5)", read=READ),
}
RIGHT = {
    "server": SERVER.format(read=LIMITED),
    "whole_handler": SERVER.format(read=READ).replace("(handle,", "(bounded,") + WHOLE,
    "client": CLIENT.format(opened=OPEN, read=LIMITED),
    "deadline": "async def view(request):\n    async with asyncio.timeout(5):\n"
    f"        reader, writer = await {OPEN}\n        return {READ}\n",
    "file": "async def view(request):\n    reader, writer = await request.pipes()\n"
    f"    return {READ}\n",
}


def said(folder: Path, code: str) -> set[str]:
    return {severity for rule, severity in numbers(folder, code) if rule == "OFF405"}


@pytest.mark.parametrize("name", WRONG)
def test_a_read_needs_a_limit(tmp_path: Path, name: str) -> None:
    assert said(tmp_path, WRONG[name]) == {"warning"}


@pytest.mark.parametrize("name", RIGHT)
def test_a_read_with_a_limit_or_of_something_else_is_right(tmp_path: Path, name: str) -> None:
    assert said(tmp_path, RIGHT[name]) == set()
