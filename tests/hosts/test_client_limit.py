"""How many requests one client may have open at the proxy of compose.yaml: its nginx by itself."""

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from postgresql_server import free_port
from waiting import wait_until

from .cluster import make_certificate, nginx

TEMPLATE = (
    Path(__file__).parents[2]
    / "{{cookiecutter.project_slug}}"
    / "deploy/nginx/service.conf.template"
)
# The tests say in a header from which address they come.
TOLD_ADDRESS = "set_real_ip_from 127.0.0.1; real_ip_header X-Test-Address;"
ANSWER_SECONDS = 1.0

Ask = Callable[[str], bytes | None]


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Ask]:
    """Sends a request from an address; None if it was passed on, and else what was answered."""
    if not shutil.which("nginx"):
        assert "REQUIRE_NETNS" not in os.environ, "nginx is not installed"
        pytest.skip("NO NGINX: nobody tried the limit of the proxy")
    make_certificate(tmp_path)
    port = free_port()
    # It never answers, so that requests stay open.
    service = socket.create_server(("127.0.0.1", 0))
    site = TEMPLATE.read_text()
    for old, new in {
        "/etc/nginx/certs": str(tmp_path),
        "${WEB}": f"127.0.0.1:{service.getsockname()[1]}",
        "${NGINX_LOCAL_RESOLVERS}": "127.0.0.1",
        "listen 80 ": f"listen 127.0.0.1:{free_port()} ",
        "listen 443 ": f"listen 127.0.0.1:{port} ",
        "limit_conn clients 100;": f"limit_conn clients 2; {TOLD_ADDRESS}",
    }.items():
        assert old in site
        site = site.replace(old, new)
    running = subprocess.Popen(nginx(tmp_path, "limit", site))
    open_clients: list[socket.socket] = []
    tls = ssl._create_unverified_context()

    def send(address: str) -> bytes | None:
        client = tls.wrap_socket(socket.create_connection(("127.0.0.1", port)))
        open_clients.append(client)
        client.settimeout(ANSWER_SECONDS)
        head = f"GET / HTTP/1.1\r\nHost: desk\r\nX-Test-Address: {address}\r\n\r\n"
        client.sendall(head.encode())
        try:
            return client.recv(65536).split()[1]
        except TimeoutError:
            return None

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(listens, "nginx", 20)
        yield send
    finally:
        for each in [*open_clients, service]:
            each.close()
        running.terminate()
        running.wait()


@pytest.mark.parametrize(
    ("addresses", "of_another"),
    [
        (["203.0.113.5"] * 3, "203.0.113.6"),
        (["2001:db8::1", "2001:db8::2", "2001:db8::ffff:ffff:ffff:ffff"], "2001:db8:0:1::1"),
        # Their bytes are ends of lines.
        (["2001:db8:a0a:a0a::a0a", "2001:db8:a0a:a0a:a0a::", "2001:db8:a0a:a0a::1"], "::a0a:a0a"),
    ],
)
def test_a_client_is_an_address_or_a_network_of_ipv6(
    ask: Ask, addresses: list[str], of_another: str
) -> None:
    """A client of IPv6 had 100 requests for each of its 2^64 addresses."""
    assert [ask(address) for address in addresses] == [None, None, b"503"]
    assert ask(of_another) is None
