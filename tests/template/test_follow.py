"""`make follow`: which lines of the launcher belong to one id, also across a new file."""

import datetime
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from honcho.printer import Message

from offload_dev.launcher.follow import Follower, read_lines
from offload_dev.launcher.output import ProcessPrinter


def test_a_record_is_shown_with_its_traceback_and_without_the_records_of_others() -> None:
    lines = [
        "web | 2026-01-01T00:00:00Z [info     ] GET /a 200 request_id=wanted\n",
        "cpu | 2026-01-01T00:00:00Z [error    ] job failed request_id=wanted\n",
        "web | 2026-01-01T00:00:00Z [info     ] GET /b 200 request_id=other\n",
        "cpu | Traceback (most recent call last):\n",
        "web | a line of nobody\n",
        "cpu | ValueError: no such market\n",
        'cpu | {"event":"job succeeded","request_id":"other"}\n',
        "cpu | Traceback of the other\n",
        'web | {"event":"GET /c 200","request_id":"wanted"}\n',
    ]
    shown = list(Follower("wanted").choose(iter(lines)))
    assert shown == [lines[0], lines[1], lines[3], lines[5], lines[8]]


def test_new_lines_are_followed_into_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "launcher.log"
    path.with_name("launcher.log.1").write_text("oldest\n")
    path.write_text("old\nhalf")
    lines, found = read_lines(path, follow=True), []
    found += [next(lines), next(lines)]

    def more() -> None:
        with path.open("a") as file:
            file.write(" a line\n")
        path.rename(tmp_path / "launcher.log.1")
        path.write_text("new\n")

    threading.Timer(0.5, more).start()
    found += [next(lines), next(lines)]
    assert found == ["oldest\n", "old\n", "half a line\n", "new\n"]
    assert list(read_lines(path, follow=False))[-1] == "new\n"


def test_the_launcher_keeps_a_bounded_number_of_lines(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("offload_dev.launcher.output.MAX_KEPT_BYTES", 2000)
    with (tmp_path / "terminal").open("w") as terminal:
        printer = ProcessPrinter(terminal)
        for number in range(200):
            text = f"\x1b[31mline {number}\x1b[0m\n"
            printer.write(Message("line", text, datetime.datetime.now(datetime.UTC), "web", None))
        printer.close()
    kept = list((tmp_path / "var" / "log").iterdir())
    assert sorted(path.name for path in kept) == ["launcher.log", "launcher.log.1"]
    assert sum(path.stat().st_size for path in kept) <= 4000
    assert list(read_lines(tmp_path / "var/log/launcher.log", follow=False))[-1] == (
        "web | line 199\n"
    )


def test_a_signal_that_prints_while_a_line_is_printed_loses_no_line(
    tmp_path: Path, monkeypatch: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """As Ctrl-C does: honcho names each process that it stops."""
    monkeypatch.chdir(tmp_path)
    printed: Counter[str] = Counter()
    with (tmp_path / "terminal").open("w") as terminal:
        printer = ProcessPrinter(terminal)

        def write(name: str) -> None:
            printed[name] += 1
            text = f"line {printed[name]}\n"
            printer.write(Message("line", text, datetime.datetime.now(datetime.UTC), name, None))

        before = signal.signal(signal.SIGALRM, lambda *_: write("signal"))
        signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
        try:
            while printed["signal"] < 300:
                write("loop")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        printer.close()
    kept = Counter(
        line.partition(" | ")[0]
        for line in read_lines(tmp_path / "var/log/launcher.log", follow=False)
    )
    assert kept == printed
    assert "Logging error" not in capfd.readouterr().err
