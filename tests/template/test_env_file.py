"""The file `.env`: `make dev` reads it as the service does, and says when it changes."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from dotenv import dotenv_values

from offload_dev.launcher import env_file

from .conftest import SHARED, run

# Letters of passwords and keys. Django's own keys have a #.
VALUES = ["a#b", "a b  # a comment", "it's", "'a b'", "a\\b", "p$q&r=s", "postgres://u:p#1@h/db"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", os.environ | {"GIVEN": "in the environment"})
    return tmp_path


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_value_is_the_one_that_the_service_reads(folder: Path, value: str, end: str) -> None:
    text = f"SECRET={value}{end}log_level = DEBUG{end}GIVEN=in the file{end}NAMED{end}"
    (folder / ".env").write_text(text, newline="")
    before = dict(os.environ)
    env_file.read()
    assert os.environ == before | {
        "SECRET": dotenv_values(folder / ".env")["SECRET"],
        "LOG_LEVEL": "DEBUG",
    }


def test_without_a_file_nothing_is_read(folder: Path) -> None:
    before = dict(os.environ)
    env_file.read()
    assert os.environ == before


@pytest.mark.parametrize("before", [True, False])
def test_a_change_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch, before: bool) -> None:
    monkeypatch.setattr(env_file, "POLL_SECONDS", 0.01)
    path = folder / ".env"
    if before:
        path.write_text("DEBUG=1\n")
    told = threading.Event()
    threading.Thread(target=env_file.watch, args=[told.set], daemon=True).start()
    assert not told.wait(0.2)
    path.write_text("DEBUG=0\n")
    assert told.wait(10)


@pytest.fixture
def taken_ports() -> Iterator[list[str]]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    yield [str(listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()


def test_a_port_of_the_file_is_used_unless_make_is_told_another(
    with_example: Path, taken_ports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PORT", raising=False)
    path = with_example / ".env"
    path.write_text(f"PORT={taken_ports[0]}\n")
    try:
        by_file = run("make", "dev", *SHARED, cwd=with_example)
        by_make = run("make", "dev", f"PORT={taken_ports[1]}", *SHARED, cwd=with_example)
    finally:
        path.unlink()
    assert f"Port {taken_ports[0]} is taken" in by_file.stdout
    assert f"Port {taken_ports[1]} is taken" in by_make.stdout
