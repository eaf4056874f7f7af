"""The metrics of all web processes behind one address, and of all workers of a host behind one."""

import re
import socket
import sys
import threading
import time
from collections import Counter
from typing import Any

import httpx
import pytest

from .conftest import Lab, free_port

FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def read(address: str) -> Counter[str]:
    """The sums of the series of one page, without those of the lab's periodic jobs."""
    text = httpx.get(f"{address}/metrics", trust_env=False, timeout=30).text
    found: Counter[str] = Counter()
    for name, labels, value in re.findall(r"^(\w+)(?:\{(.*)\})? (\S+)$", text, re.MULTILINE):
        if "lab.tick" in labels:
            continue
        found[name] += float(value)
        status = re.search(r'status="(\w+)"', labels)
        if status:
            found[f"{name} {status[1]}"] += float(value)
    return found


class Fleet:
    """Web processes and workers that count in two folders."""

    def __init__(self, lab: Lab) -> None:
        from offload.access.models import ApiToken

        self.lab = lab
        self.web: dict[str, str] = {}
        self.workers = f"http://127.0.0.1:{free_port()}"
        self.token = ApiToken.make("lab")[1]

    def add_web(self, name: str) -> None:
        port, lab = free_port(), self.lab
        command = ("-m", "offload.serving", "--drain", "0", "--port", str(port))
        environment = {FOLDER: str(lab.folder / "counts-web")}
        lab.start(name, sys.executable, *command, **environment)
        self.web[name] = f"http://127.0.0.1:{port}"

    def add_worker(self, name: str) -> None:
        self.lab.worker(
            name,
            wait=False,
            HOST="127.0.0.1",
            WORKER_METRICS_PORT=self.workers.rsplit(":", 1)[1],
            **{FOLDER: str(self.lab.folder / "counts-worker")},
        )

    def wait(self) -> None:
        for name, address in self.web.items():
            self.lab.until(lambda at=address: answers(at, "/health/live"), f"{name} to answer")
        self.lab.until(lambda: answers(self.workers, "/metrics"), "the workers to answer")

    def submit(self, each: int) -> list[Any]:
        """Send to each web process so many pings and jobs. Returns the rows of the jobs."""
        from offload.jobs.models import Job

        ids = []
        for address in self.web.values():
            with httpx.Client(
                base_url=address,
                headers={"Authorization": f"Bearer {self.token}"},
                trust_env=False,
                timeout=30,
            ) as client:
                for number in range(each):
                    assert client.get("/api/ping").status_code == 200
                    log = str(self.lab.folder / f"log-{address[-5:]}-{number}-{len(ids)}")
                    body = {"log": log, "units": 1}
                    ids.append(client.post("/api/lab/burn", json=body).json()["id"])
        return [Job.objects.get(pk=each) for each in ids]

    def succeed(self, jobs: list[Any]) -> None:
        for job in jobs:
            self.lab.reaches(job, "succeeded")


def answers(address: str, path: str) -> bool:
    return httpx.get(address + path, trust_env=False, timeout=30).status_code == 200


@pytest.fixture
def fleet(lab: Lab) -> Fleet:
    """Four web processes and two workers."""
    lab.redis()
    made = Fleet(lab)
    for number in range(4):
        made.add_web(f"web{number}")
    for number in range(2):
        made.add_worker(f"worker{number}")
    made.wait()
    return made


def test_totals_are_what_was_sent_though_processes_are_killed(fleet: Fleet) -> None:
    lab = fleet.lab
    pings, jobs = 4 * 3, fleet.submit(3)
    fleet.succeed(jobs)

    # A job that one of the workers computes when it is killed, and a web process that has counted.
    long_job = lab.computes(lab.submit("lab.burn", units=100_000))
    held_by = next(name for name in ("worker0", "worker1") if long_job.pid in lab.children(name))
    lab.kill(held_by)
    lab.kill("web2")
    del fleet.web["web2"]
    from offload.jobs.control import cancel_job

    lab.until(lambda: reread(long_job).attempts == 2, "the other worker to begin the lost job")
    cancel_job(long_job.pk, "the test")
    lab.reaches(long_job, "cancelled")

    fleet.add_web("web4")
    fleet.add_worker(f"{held_by}-again")
    fleet.wait()
    jobs += fleet.submit(3)
    pings += 4 * 3
    fleet.succeed(jobs)

    submitted = len(jobs)
    expected = {
        "offload_jobs_submitted_total": submitted,
        "offload_jobs_ended_total succeeded": submitted,
        "offload_jobs_ended_total cancelled": 1,
        "offload_jobs_lost_total": 1,
        "offload_jobs_attempts_total": submitted + 2,
        "offload_jobs_wait_seconds_count": submitted + 2,
        # A killed attempt has no end.
        "offload_jobs_run_seconds_count": submitted + 1,
        "offload_jobs_running": 0,
    }

    def totals(address: str) -> dict[str, float]:
        # Web processes and workers share the maintenance, which finds what is lost.
        both = read(address), read(fleet.workers)
        return {name: sum(page[name] for page in both) for name in expected}

    for address in fleet.web.values():
        eventually(lambda at=address: totals(at), expected)
    for address in fleet.web.values():
        text = httpx.get(f"{address}/metrics", trust_env=False).text
        counted = re.findall(r'request_seconds_count\{.*route="api/ping".*\} (\S+)', text)
        assert [float(value) for value in counted] == [pings]

    # Each process that ended left its number to the next one.
    locks = {
        folder: len(list((lab.folder / folder).glob("*.lock")))
        for folder in ("counts-web", "counts-worker")
    }
    assert locks["counts-web"] == 4
    # Two main processes with two processes each; a process may take a number before another ends.
    assert locks["counts-worker"] <= 8


def eventually(figures: Any, expected: dict[str, float]) -> None:
    """Each process makes its page once a second."""
    deadline = time.monotonic() + 20
    while (found := figures()) != expected and time.monotonic() < deadline:
        time.sleep(0.2)
    assert found == expected


def reread(job: Any) -> Any:
    from offload.jobs.models import Job

    return Job.objects.get(pk=job.pk)


def test_workers_share_a_port_and_no_client_keeps_the_others_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from offload.jobs.worker import metrics_server

    monkeypatch.setattr(metrics_server, "SCRAPE_TIMEOUT_SECONDS", 1.0)
    monkeypatch.setattr(metrics_server, "is_allowed", lambda header: header == "Bearer t")
    address = ("127.0.0.1", free_port())
    servers = [metrics_server.MetricsServer(address) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{address[1]}"

    # So many that both servers have one: they send half a request, and then nothing.
    slow = [socket.create_connection(address) for _ in range(6)]
    for each in slow:
        each.sendall(b"GET /metrics HTTP/1.1\r\nHo")
    headers = {"Authorization": "Bearer t"}
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        assert "offload_jobs_attempts_total" in client.get("/metrics", headers=headers).text
        assert client.get("/metrics").status_code == 401
        assert client.get("/", headers=headers).status_code == 404
    for each in slow:
        each.settimeout(60)
        assert each.recv(1) == b""
        each.close()

    servers[0].shutdown()
    servers[0].server_close()
    assert httpx.get(f"{url}/metrics", headers=headers, trust_env=False, timeout=60).is_success
    servers[1].shutdown()
    servers[1].server_close()


def test_a_port_without_a_folder_is_one_sentence(lab: Lab) -> None:
    worker = lab.worker(wait=False, WORKER_METRICS_PORT=str(free_port()))
    assert worker.wait(60) != 0
    assert "set PROMETHEUS_MULTIPROC_DIR in the environment of the worker" in lab.log("worker")
    assert "Traceback" not in lab.log("worker")
