"""Programs that a function starts and waits for: those that a file or a server can keep."""

from pathlib import Path

import pytest
from twins import numbers

HEAD = """
import subprocess

CONVERT = ["ffmpeg", "-i", "pipe:0", "pipe:1"]
"""
HANGS = {
    "list_of_the_module": """
def convert(sound):
    process = subprocess.Popen(CONVERT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    return process.communicate(input=sound)
""",
    "list_of_the_function": """
def convert(path):
    command = ["/usr/bin/soffice", "--headless", "--convert-to", "pdf", path]
    subprocess.run(command, check=True)
""",
    "network_command": """
def clone(url):
    subprocess.check_call(["git", "clone", "--depth", "1", url])
""",
    "text_for_a_shell": """
def fetch(url):
    return subprocess.check_output(f"wget -q {url} -O -", shell=True)
""",
    "behind_another_program": """
def convert(path):
    subprocess.run(["nice", "-n", "tesseract", path, "-"])
""",
    "process_of_asyncio": """
async def probe(request):
    process = await asyncio.create_subprocess_exec("ffmpeg", "x", stdout=-1)
    return await process.communicate()
""",
    "more_words": """
def convert(names):
    subprocess.call(["convert"] + names)
""",
}
ENDS = {
    "timeout": 'def convert(path):\n    subprocess.run(["ffmpeg", "-i", path], timeout=60)\n',
    "options": 'def convert(path, **options):\n    subprocess.run(["ffmpeg"], **options)\n',
    "local_command": 'def log():\n    subprocess.run(["git", "log", "-1"])\n',
    "short_program": 'def show(path):\n    return subprocess.check_output(["ls", path])\n',
    "limit_of_its_own": 'def f(url):\n    subprocess.run(["curl", "--max-time", "5", url])\n',
    "limited_by_a_program": 'def f(p):\n    subprocess.run(["timeout", "60", "ffmpeg", p])\n',
    "this_host": 'def f(port):\n    subprocess.run(["curl", f"http://127.0.0.1:{port}/x"])\n',
    "unknown": "def run(command):\n    subprocess.run(command)\n",
    "no_process": "class Box:\n    def send(self, bus):\n        bus.communicate()\n",
    "killed": """
def convert(sound):
    process = subprocess.Popen(CONVERT, stdin=subprocess.PIPE)
    try:
        return process.communicate(sound, timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
""",
    "deadline": """
async def probe(request):
    process = await asyncio.create_subprocess_exec("ffmpeg", "x", stdout=-1)
    return await asyncio.wait_for(process.communicate(), 5)
""",
}


def said(folder: Path, code: str, **others: str) -> set[str]:
    found = numbers(folder, HEAD + code, **others)
    return {severity for rule, severity in found if rule == "OFF405"}


@pytest.mark.parametrize("name", HANGS)
def test_a_program_that_may_hang_needs_a_timeout(tmp_path: Path, name: str) -> None:
    assert said(tmp_path, HANGS[name]) == {"warning"}


@pytest.mark.parametrize("name", ENDS)
def test_a_program_that_ends_is_right(tmp_path: Path, name: str) -> None:
    assert said(tmp_path, ENDS[name]) == set()


def test_a_time_limit_of_tasks_ends_a_program_in_a_task(tmp_path: Path) -> None:
    task = "from celery import shared_task\n\n@shared_task\ndef convert():\n"
    code = f"{task}    subprocess.run(CONVERT)\n"
    assert said(tmp_path / "without", code) == {"warning"}
    limit = "CELERY_TASK_SOFT_TIME_LIMIT = 60\n"
    assert said(tmp_path / "with", code, settings=limit) == set()
