"""The proxy of compose.yaml: its nginx configuration, before web processes on two hosts."""

import json
import os
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import httpx
import pytest
from host_network import TESTS_ADDRESS

from .cluster import NAME, TIMEOUT_SECONDS, WEBS, Cluster, wait_until_they_succeed
from .compose_proxy import ComposeProxy


def test_plain_http_is_sent_to_https_and_browsers_speak_http_2(front: ComposeProxy) -> None:
    url = f"http://{front.host.address}/api/ping?a=1"
    moved = httpx.get(url, headers={"Host": NAME}, trust_env=False)
    assert moved.status_code == 301
    assert moved.headers["Location"] == f"https://{NAME}/api/ping?a=1"
    command = ["curl", "-sk", "--http2", "-o", os.devnull, "-w", "%{http_version} %{http_code}"]
    target = ["-H", f"Host: {NAME}", f"https://{front.host.address}/api/ping"]
    assert subprocess.check_output([*command, *target], text=True) == "2 200"


@pytest.mark.parametrize(
    "path",
    [
        *("/metrics", "/metrics/", "/metrics?a=1", "//metrics", "/./metrics", "/api/../metrics"),
        *("/%6detrics", "/metrics%2f", "/metrics;a", "/flower", "/flower/", "/flower/api/workers"),
        *("/health/dependencies", "/health//dependencies", "/health/%64ependencies"),
    ],
)
def test_what_is_for_machines_inside_is_not_reached(front: ComposeProxy, path: str) -> None:
    with front.connect() as client:
        # As it is: an HTTP client would put it right.
        key = "Authorization: Bearer of-the-scraper"
        head = f"GET {path} HTTP/1.1\r\nHost: {NAME}\r\n{key}\r\nConnection: close\r\n\r\n"
        client.sendall(head.encode())
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.split()[1] == b"404", answer[:300]
    assert b"offload_" not in answer
    assert b'"broker"' not in answer


def test_what_a_client_says_of_itself_is_not_believed(front: ComposeProxy) -> None:
    forged = {
        "X-Forwarded-For": "203.0.113.7, 10.77.0.2",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "evil.example.com",
        "X-Real-IP": "203.0.113.7",
        "Forwarded": "for=203.0.113.7;proto=http;host=evil.example.com",
    }
    seen = front.get("/api/describe", **forged).json()
    assert (seen["address"], seen["secure"], seen["hostname"]) == (TESTS_ADDRESS, True, NAME)


def test_the_web_process_believes_nobody_but_the_proxy(
    front: ComposeProxy, cluster: Cluster
) -> None:
    url = f"{cluster.url_behind('web1')}/api/describe"
    forged = {"Host": NAME, "X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
    seen = httpx.get(url, headers=forged, trust_env=False).json()
    assert (seen["address"], seen["secure"]) == (TESTS_ADDRESS, False)


def test_slow_heads_and_bodies_end_at_the_proxy(front: ComposeProxy, cluster: Cluster) -> None:
    head = f"POST /api/describe?slow HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 100\r\n"
    with front.connect() as half_head, front.connect() as half_body:
        half_head.sendall(head.encode())
        half_body.sendall(f"{head}\r\nhalf".encode())
        assert front.get("/api/ping").status_code == 200
        for client in (half_head, half_body):
            answer = b"".join(iter(lambda client=client: client.recv(65536), b""))  # type: ignore[misc]
            assert answer == b"" or answer.split()[1] == b"408", answer
    for name in WEBS:
        assert "/api/describe?slow" not in (cluster.folder / f"{name}.log").read_text()


def test_a_large_body_is_refused_with_the_limit_that_it_breaks(front: ComposeProxy) -> None:
    with front.cluster.client(front.url) as client:
        assert client.post("/api/describe", content=b"x" * 1000).json()["bytes"] == 1000
        by_service = client.post("/api/describe", content=b"x" * 2_000_000)
    assert by_service.status_code == 413
    assert by_service.headers["Content-Type"] == "application/problem+json"
    with front.connect() as client:
        length = "Content-Length: 1000000000"
        client.sendall(f"POST /api/describe HTTP/1.1\r\nHost: {NAME}\r\n{length}\r\n\r\n".encode())
        assert client.recv(65536).split()[1] == b"413"


def test_events_come_at_once(front: ComposeProxy, cluster: Cluster) -> None:
    job = cluster.job(gate="stream")
    events: list[str] = []

    def read() -> None:
        with (
            cluster.client(front.url) as client,
            client.stream("GET", f"/api/jobs/{job.id}/events") as stream,
        ):
            events.extend(line for line in stream.iter_lines() if line.startswith("event"))

    reader = threading.Thread(target=read)
    reader.start()
    cluster.until(lambda: events, "an event while the job waits behind its gate")
    cluster.open_gate("stream")
    reader.join(TIMEOUT_SECONDS)
    assert events[-1] == "event: succeeded"
    wait_until_they_succeed(cluster, [job])


@pytest.mark.parametrize("proxy", ["compose.yaml", "docs/production.md"])
def test_a_websocket_is_passed_on(front: ComposeProxy, cluster: Cluster, proxy: str) -> None:
    if not find_spec("channels"):
        assert "REQUIRE_CHANNELS" not in os.environ, "Django Channels is not installed"
        pytest.skip("NO CHANNELS: nobody tried a WebSocket through the proxy")
    from websockets.sync.client import connect

    host = front.host if proxy == "compose.yaml" else cluster.hosts["proxy"]
    gate = f"socket of {host.address}"
    job = cluster.job(gate=gate)
    headers = {"Authorization": f"Bearer {cluster.token}"}
    with connect(
        f"wss://{NAME}/ws/jobs",
        sock=socket.create_connection((host.address, 443)),
        ssl=cluster.tls,
        additional_headers=headers,
    ) as client:
        client.send(json.dumps({"type": "subscribe", "jobs": [{"id": job.id}]}))
        types = [json.loads(client.recv(TIMEOUT_SECONDS))["type"]]
        cluster.open_gate(gate)
        while types[-1] != "succeeded":
            types.append(json.loads(client.recv(TIMEOUT_SECONDS))["type"])
    assert "subscribed" in types


def test_a_web_host_that_is_gone_is_passed_over(front: ComposeProxy, cluster: Cluster) -> None:
    cluster.hosts["web2"].cut_off()
    with cluster.client(front.url) as client:
        statuses = [client.post("/api/describe", content=b"x").status_code for _ in range(4)]
    cluster.hosts["web2"].bring_back()
    assert statuses == [200] * 4


def test_a_new_container_is_found_by_its_new_address(front: ComposeProxy, cluster: Cluster) -> None:
    def reached() -> set[str]:
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(front.get, ["/api/describe"] * 4))
        return {answer.json()["machine"] for answer in answers}

    for name in WEBS:
        front.point_to(name)
        cluster.until(lambda name=name: reached() == {name}, f"requests that go to {name} alone")
    # Later tests replace one host after the other.
    front.point_to(*WEBS)
    cluster.until(lambda: reached() == {*WEBS}, "requests that go to both")
