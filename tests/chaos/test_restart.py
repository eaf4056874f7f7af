"""Two web processes behind a balancer are restarted, one after the other, under load."""

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from balancer import Balancer, Connections, Request, close
from experiment import Neighbour, experiment
from lab import Lab
from postgresql_server import free_port
from serving_tests import TIMEOUT_SECONDS, Server

# The first experiment starts the lab, and a busy machine takes its time.
pytestmark = pytest.mark.timeout(900)

# Clients that ask again and again, half of them on kept connections.
CLIENTS = 8
# Between two requests of a client.
PAUSE_SECONDS = 0.02
PING = Request("GET", "/api/ping")


def test_a_rolling_restart_under_load_loses_no_request(lab: Lab, seconds: float) -> None:
    ports = [str(free_port()), str(free_port())]
    balancer = Balancer(*map(int, ports), pause=PAUSE_SECONDS)
    job_ids: list[str] = []

    def submit() -> None:
        """A client that submits jobs, so that each request matters."""
        kept: Connections = {}
        while balancer.is_open:
            status, body = balancer.send(kept, Request("GET", "/api/nap"))
            if status == 202:
                job_ids.append(json.loads(body)["id"])
            time.sleep(PAUSE_SECONDS)
        close(kept)

    def ask() -> int:
        connections: Connections = {}
        try:
            return balancer.send(connections, PING)[0]
        finally:
            close(connections)

    with ThreadPoolExecutor(CLIENTS + 1) as clients, ExitStack() as stack:

        def start(port: str) -> Server:
            return stack.enter_context(lab.started_web("--drain", "1", PORT=port))

        webs = list(clients.map(start, ports))
        stack.callback(balancer.close)
        with experiment("a rolling restart of two servers", Neighbour(ask)) as it:
            running = [clients.submit(balancer.client, n % 2 == 0, PING) for n in range(CLIENTS)]
            running.append(clients.submit(submit))
            for _ in range(max(1, round(seconds / 3))):
                for number, port in enumerate(ports):
                    # uvicorn ends by the signal that it was sent.
                    assert webs[number].stop() == -signal.SIGTERM
                    webs[number] = start(port)
            balancer.close()
            for client in running:
                client.result(TIMEOUT_SECONDS)
            it.counted["requests through the balancer"] = balancer.answers.total()
            it.counted["accepted jobs"] = len(job_ids)
            it.lost += len(balancer.lost) + lab.lost(job_ids)
    assert {key.split()[1] for key in balancer.answers} == {"200", "202"}
    assert {key.split()[0] for key in balancer.answers} == set(ports), "both were asked"
