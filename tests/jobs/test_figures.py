"""What jobs cost: `JOBS_FIGURES=1 pytest tests/jobs/test_figures.py -s`. CPU per job and ratios,
from one run.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .conftest import Lab
from .web_process import client_of

pytestmark = [
    pytest.mark.skipif("JOBS_FIGURES" not in os.environ, reason="what jobs cost: JOBS_FIGURES=1"),
    pytest.mark.timeout(900),
]
TICK = os.sysconf("SC_CLK_TCK")


def cpu(*pids: int) -> float:
    """Seconds of CPU these processes have used."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split() for pid in pids]
    return sum(int(field[11]) + int(field[12]) for field in fields) / TICK


@pytest.fixture
def client(lab: Lab) -> Iterator[httpx.Client]:
    with client_of(lab) as made:
        yield made


def times(client: httpx.Client, path: str, count: int) -> list[float]:
    found = []
    for _ in range(count):
        started = time.perf_counter()
        assert client.get(path).status_code == 200
        found.append((time.perf_counter() - started) * 1000)
    return sorted(found)


def test_cpu_of_a_submit(lab: Lab, client: httpx.Client) -> None:
    from celery import current_app

    lab.redis()
    web = lab.web()
    body = {"log": str(lab.folder / "executions"), "units": 0}
    client.post("/api/lab/burn", json=body)
    before = cpu(web.pid)
    for _ in range(500):
        assert client.post("/api/lab/burn", json=body).status_code == 202
    time.sleep(1)
    print(f"\nsubmit over HTTP, publishing included: {(cpu(web.pid) - before) * 2:.2f} ms of CPU")
    with (
        current_app.connection_for_write() as connection,
        current_app.amqp.Producer(connection) as producer,
    ):
        current_app.tasks["lab.plain"].apply_async(queue="cpu", producer=producer)
        started = time.process_time()
        for _ in range(500):
            current_app.tasks["lab.plain"].apply_async(queue="cpu", producer=producer)
    print(
        f"plain apply_async alone: {(time.process_time() - started) * 2:.2f} ms of CPU, "
        "blocking its caller"
    )


def test_cpu_of_a_job_in_the_worker(running: Lab) -> None:
    from celery import current_app

    from offload.jobs.models import Job

    pids = [running.processes["worker"].pid, *running.children("worker")]
    before = cpu(*pids)
    for _ in range(100):
        running.submit("lab.burn", units=0, log="/dev/null")
    running.until(
        lambda: Job.objects.filter(kind="lab.burn", status="succeeded").count() == 100,
        "100 jobs to end",
    )
    job = (cpu(*pids) - before) / 100 * 1000
    before = cpu(*pids)
    with (
        current_app.connection_for_write() as connection,
        current_app.amqp.Producer(connection) as producer,
    ):
        for _ in range(100):
            current_app.tasks["lab.plain"].apply_async(queue="cpu", producer=producer)
    running.until(lambda: running.messages("cpu") == 0, "100 plain tasks to end")
    time.sleep(1)
    plain = (cpu(*pids) - before) / 100 * 1000
    print(f"\na job costs its worker {job:.2f} ms of CPU, a plain task {plain:.2f} ms")


def test_pickup_of_a_job_by_an_idle_worker(lab: Lab, client: httpx.Client) -> None:
    from offload.jobs.models import Job

    lab.redis()
    lab.web()
    lab.worker()
    body = {"log": "/dev/null", "units": 0}
    for _ in range(100):
        location = client.post("/api/lab/burn", json=body).headers["location"]
        client.get(location, headers={"Prefer": "wait=10"})
    rows = Job.objects.filter(kind="lab.burn", status="succeeded")
    waits = sorted((row.started_at - row.created_at).total_seconds() * 1000 for row in rows)
    p50, p99 = statistics.median(waits), waits[int(len(waits) * 0.99) - 1]
    print(f"\npickup, idle: p50 {p50:.0f} ms, p99 {p99:.0f} ms")


@pytest.mark.parametrize("nice", [10, 0])
def test_the_api_beside_saturated_workers(lab: Lab, client: httpx.Client, nice: int) -> None:
    lab.redis()
    lab.web()
    lab.worker(WORKER_NICE=str(nice))
    idle = times(client, "/api/jobs", 400)
    jobs = [lab.submit("lab.burn", units=5000) for _ in range(2)]
    for job in jobs:
        lab.computes(job)
    busy = times(client, "/api/jobs", 400)
    ratios = [busy[index] / idle[index] for index in (200, 396)]
    print(
        f"\nGET /api/jobs beside two computing processes of nice {nice}: "
        f"p50 {busy[200]:.1f} ms ({ratios[0]:.1f} x idle), "
        f"p99 {busy[396]:.1f} ms ({ratios[1]:.1f} x idle)"
    )


def test_a_divided_job_with_one_and_with_two_processes(lab: Lab) -> None:
    lab.redis()
    took = []
    for slots in (1, 2):
        lab.worker(f"of-{slots}", slots=slots)
        job = lab.submit("lab.whole", logs=["/dev/null"] * 8, units=60)
        ended = lab.reaches(job, "succeeded", patience=120)
        took.append((ended.finished_at - ended.started_at).total_seconds())
        lab.kill(f"of-{slots}")
    print(
        f"\n8 parts: {took[0]:.1f} s with one process, {took[1]:.1f} s with two, "
        f"{took[0] / took[1]:.2f} times faster"
    )


def test_a_thousand_watchers_of_one_job(lab: Lab, client: httpx.Client) -> None:
    lab.redis()
    web = lab.web()
    lab.worker()
    body = {"log": str(lab.folder / "executions"), "units": 5000}
    location = client.post("/api/lab/burn", json=body).headers["location"]
    token = client.headers["Authorization"]
    request = f"GET {location}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {token}\r\n\r\n"

    async def watch() -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
        writer.write(request.encode())
        last = ""
        async for line in reader:
            if line.startswith(b"event: "):
                last = line[7:].decode().strip()
            if last == "cancelled":
                break
        writer.close()
        return last

    def memory() -> float:
        return int(Path(f"/proc/{web.pid}/statm").read_text().split()[1]) * 4096 / 1000

    async def watch_together() -> list[str]:
        before = memory()
        async with asyncio.TaskGroup() as group:
            watching = [group.create_task(watch()) for _ in range(1000)]
            await asyncio.sleep(8)
            used, each = cpu(web.pid), (memory() - before) / 1000
            await asyncio.sleep(5)
            share = (cpu(web.pid) - used) / 5
            print(
                f"\n1,000 watchers of one job: {each:.0f} kB each, "
                f"{share:.0%} of a core at two events a second"
            )
            await asyncio.to_thread(client.delete, location)
        return [task.result() for task in watching]

    assert asyncio.run(watch_together()) == ["cancelled"] * 1000
