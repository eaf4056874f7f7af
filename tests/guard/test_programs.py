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

FULL_PIPES = {
    "wait_then_read": """
def licence(folder):
    process = subprocess.Popen(["detect", folder], stdout=subprocess.PIPE)
    process.wait()
    return process.stdout.read()
""",
    "entered": """
def licence(folder):
    with subprocess.Popen(["detect", folder], stderr=subprocess.PIPE) as process:
        if process.wait() != 0:
            raise OSError(process.stderr.read())
""",
    "polled": """
def licence(folder):
    process = subprocess.Popen(["detect", folder], stdout=-1)
    while process.poll() is None:
        time.sleep(1)
    return process.communicate()[0]
""",
    "polled_in_other_words": """
def licence(folder):
    process = subprocess.Popen(["detect", folder], stdout=subprocess.PIPE)
    while not process.poll():
        time.sleep(1)
""",
    "never_read": """
def start(folder):
    return subprocess.Popen(["detect", folder], stdout=subprocess.PIPE).wait()
""",
    "process_of_asyncio": """
async def licence(folder):
    process = await asyncio.create_subprocess_exec(
        "detect", folder, stdout=asyncio.subprocess.PIPE
    )
    await process.wait()
    return await process.stdout.read()
""",
    "name_of_its_own": """
from subprocess import PIPE, Popen

def licence(folder):
    detector = Popen(["detect", folder], stdin=PIPE, stdout=PIPE)
    detector.stdin.write(b"x")
    code = detector.wait()
    return code, detector.stdout.read()
""",
}
EMPTY_PIPES = {
    "read_before": """
def licence(folder):
    process = subprocess.Popen(["detect", folder], stdout=subprocess.PIPE)
    text = process.stdout.read()
    process.wait()
    return text
""",
    "read_by_a_thread": """
def licence(folder):
    process = subprocess.Popen(["detect", folder], stdout=subprocess.PIPE)
    threading.Thread(target=show, args=(process.stdout,)).start()
    process.wait()
""",
    "given_away": """
def licence(folder):
    process = subprocess.Popen(["detect", folder], stdout=subprocess.PIPE)
    show(process)
    process.wait()
""",
    "read_by_an_inner_function": """
def licence(folder):
    process = subprocess.Popen(["detect", folder], stdout=subprocess.PIPE)
    def show():
        print(process.stdout.read())
    threading.Thread(target=show).start()
    process.wait()
""",
    "no_pipe": """
def licence(folder):
    process = subprocess.Popen(["detect", folder], stdout=subprocess.DEVNULL)
    process.wait()
""",
    "pipe_to_write": """
def licence(folder):
    process = subprocess.Popen(["detect", folder], stdin=subprocess.PIPE)
    process.wait()
""",
    "timeout": """
def licence(folder):
    process = subprocess.Popen(["detect", folder], stdout=subprocess.PIPE)
    process.wait(timeout=60)
""",
    "communicate": """
def licence(folder):
    process = subprocess.Popen(["detect", folder], stdout=subprocess.PIPE)
    return process.communicate()[0]
""",
    "killed_before": """
def licence(folder):
    process = subprocess.Popen(["detect", folder], stdout=subprocess.PIPE)
    process.kill()
    process.wait()
""",
    "polled_with_an_end": """
def licence(folder):
    process = subprocess.Popen(["detect", folder], stdout=subprocess.PIPE)
    while process.poll() is None:
        if time.monotonic() > 60:
            break
""",
    "polled_and_read": """
def licence(folder):
    process = subprocess.Popen(["detect", folder], stdout=subprocess.PIPE)
    while process.poll() is None:
        print(process.stdout.readline())
""",
    "deadline": """
async def licence(folder):
    process = await asyncio.create_subprocess_exec("detect", folder, stdout=-1)
    async with asyncio.timeout(5):
        await process.wait()
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


@pytest.mark.parametrize("name", FULL_PIPES)
def test_a_wait_before_the_pipe_is_read_may_never_end(tmp_path: Path, name: str) -> None:
    assert said(tmp_path, FULL_PIPES[name]) == {"warning"}


@pytest.mark.parametrize("name", EMPTY_PIPES)
def test_a_pipe_that_somebody_reads_is_right(tmp_path: Path, name: str) -> None:
    assert said(tmp_path, EMPTY_PIPES[name]) == set()


def test_a_time_limit_of_tasks_ends_a_program_in_a_task(tmp_path: Path) -> None:
    task = "from celery import shared_task\n\n@shared_task\ndef convert():\n"
    code = f"{task}    subprocess.run(CONVERT)\n"
    assert said(tmp_path / "without", code) == {"warning"}
    limit = "CELERY_TASK_SOFT_TIME_LIMIT = 60\n"
    assert said(tmp_path / "with", code, settings=limit) == set()
