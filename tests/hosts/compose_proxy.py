"""The proxy of compose.yaml, on a host of its own."""

import os
import socket
import ssl
import sys
from pathlib import Path

import httpx

from .cluster import NAME, TIMEOUT_SECONDS, WEBS, Cluster, nginx

HERE = Path(__file__).parent
# Slow clients are tried with shorter times than the file has.
SHORT_TIMES = {
    "client_header_timeout 10s": "client_header_timeout 1s",
    "client_body_timeout 20s": "client_body_timeout 1s",
}


class ComposeProxy:
    """The proxy, and its name server, which says where the web processes are."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.host = cluster.hosts["compose"]
        self.url = cluster.url_of("compose")
        self.addresses = cluster.folder / "addresses"
        self.point_to(*WEBS)
        template = cluster.service / "deploy" / "nginx" / "service.conf.template"
        site = template.read_text().replace("/etc/nginx/certs", str(cluster.folder))
        filled = {"${WEB}": "web:8000", "${NGINX_LOCAL_RESOLVERS}": "127.0.0.1", **SHORT_TIMES}
        for old, new in filled.items():
            assert old in site
            site = site.replace(old, new)
        with (cluster.folder / "compose-proxy.log").open("ab") as log:
            names = [sys.executable, str(HERE / "name_server.py"), str(self.addresses)]
            self.host.start(names, log, dict(os.environ))
            self.host.start(nginx(cluster.folder, "compose", site), log, dict(os.environ))
        cluster.until(lambda: self.get("/health/live").status_code == 200, "the proxy of compose")

    def point_to(self, *names: str) -> None:
        """Let the name `web` mean these hosts."""
        self.addresses.write_text(" ".join(self.cluster.hosts[name].address for name in names))

    def get(self, path: str, **headers: str) -> httpx.Response:
        """GET, on a connection of its own."""
        with self.cluster.client(self.url) as client:
            return client.get(path, headers=headers)

    def connect(self) -> ssl.SSLSocket:
        """A connection over which a test sends what it likes."""
        plain = socket.create_connection((self.host.address, 443), TIMEOUT_SECONDS)
        return self.cluster.tls.wrap_socket(plain, server_hostname=NAME)
