"""Connections: their age, the proxy they go through, and the certificates they use."""

import asyncio
import base64
import logging
import random
import shutil
import ssl
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import pytest
from chaos import Chaos, opened, tasks, until

from offload.fanout import Retry, Upstream
from offload.fanout.http import httpx

pytestmark = pytest.mark.timeout(30)

needs_openssl = pytest.mark.skipif(
    not shutil.which("openssl"), reason="makes its certificates with openssl"
)


def sessions_of(upstream: Upstream) -> Any:
    """The `Sessions` at the end of an upstream's pipeline."""
    step: Any = upstream.client().pipeline
    while inner := getattr(step, "_inner", None):
        step = inner
    return step._transport._sessions


async def test_a_busy_connection_is_replaced_when_it_reaches_its_maximum_age(chaos: Chaos) -> None:
    async with opened(chaos.url, max_connection_age=60, keepalive=60) as upstream:
        await upstream.get_json("/ok")
        await upstream.get_json("/ok")
        assert chaos.connections == 1
        sessions_of(upstream).renew_at -= 60
        await upstream.get_json("/ok")
        assert chaos.connections == 2
        await until(lambda: len(chaos.open) == 1)
    await until(lambda: not chaos.open and not tasks())


async def test_what_is_under_way_on_an_old_connection_is_not_cut_off(chaos: Chaos) -> None:
    chaos.delay = 0.5
    async with opened(chaos.url, max_connection_age=0.1) as upstream:
        slow = asyncio.create_task(upstream.get_json("/slow").outcome())
        async with upstream.stream("/drip", max_bytes=10_000, within=10) as response:
            pieces = response.aiter_bytes()
            await anext(pieces)
            await asyncio.sleep(0.2)
            for _ in range(3):
                assert (await upstream.get_json("/ok").outcome()).status == "ok"
                await asyncio.sleep(0.15)
            assert await anext(pieces)
        assert (await slow).status == "ok"
        await until(lambda: len(chaos.open) <= 1)


async def test_callers_that_leave_keep_no_old_connections_open(chaos: Chaos) -> None:
    chaos.delay = 0.02
    async with opened(chaos.url, max_connection_age=0.05, max_in_flight=10) as upstream:

        async def leave_early(number: int) -> None:
            call = upstream.get_json("/slow", params={"number": number})
            with suppress(TimeoutError):
                async with asyncio.timeout(random.uniform(0, 0.04)):
                    await call.outcome()

        for _ in range(20):
            await asyncio.gather(*(leave_early(number) for number in range(20)))
        async with upstream.stream("/ok", max_bytes=1000, within=5):
            # The stream is left before its body was read.
            pass
        sessions = sessions_of(upstream)
        await until(lambda: sum(each.users for each in sessions._open) == 0)
        await asyncio.sleep(0.06)
        assert (await upstream.get_json("/ok").outcome()).status == "ok"
        await until(lambda: len(sessions._open) == 1 and len(chaos.open) == 1)


class Proxy:
    """An HTTP proxy on loopback that wants a password and records what it was asked for."""

    def __init__(self, refuse: bool = False) -> None:
        self._refuse = refuse
        self.asked: list[str] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://user:secret@127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *fields = head.strip().split("\r\n")
        headers = {k.lower(): v for k, v in (field.split(": ", 1) for field in fields)}
        assert (
            headers["proxy-authorization"] == "Basic " + base64.b64encode(b"user:secret").decode()
        )
        self.asked.append(line)
        method, target, _ = line.split(" ")
        if self._refuse:
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return

        if method == "CONNECT":
            host, port = target.split(":")
            onward, back = await asyncio.open_connection(host, int(port))
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            url = httpx.URL(target)
            onward, back = await asyncio.open_connection(url.host, url.port)
            back.write(f"{method} {url.raw_path.decode()} HTTP/1.1\r\n".encode())
            back.write("\r\n".join([*fields, "", ""]).encode())
        await asyncio.gather(self._copy(reader, back), self._copy(onward, writer))

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                sink.write(data)
        except ConnectionError:
            pass
        sink.close()


async def test_a_call_goes_through_the_proxy_and_the_environment_is_not_read(
    chaos: Chaos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with Proxy() as proxy:
        async with opened(chaos.url, proxy=proxy.url) as upstream:
            assert (await upstream.get_json("/ok").outcome()).status == "ok"
            assert proxy.asked == [f"GET {chaos.url}/ok HTTP/1.1"]
            assert "secret" not in repr(upstream)
        async with opened(chaos.url) as upstream:
            assert (await upstream.get_json("/ok").outcome()).status == "ok"
    assert len(proxy.asked) == 1


@needs_openssl
async def test_a_tls_connection_goes_through_the_proxy_as_a_tunnel(tmp_path: Path) -> None:
    server = make_certificate(tmp_path, "server")
    async with Chaos(serving(server)) as chaos, Proxy() as proxy:
        async with opened(chaos.url, proxy=proxy.url, ca_file=str(server)) as upstream:
            assert (await upstream.get_json("/ok").outcome()).status == "ok"
        assert proxy.asked == [f"CONNECT 127.0.0.1:{chaos.port} HTTP/1.1"]
        async with (
            Proxy(refuse=True) as refusing,
            opened(
                chaos.url, proxy=refusing.url, ca_file=str(server), retry=Retry(attempts=1)
            ) as upstream,
        ):
            outcome = await upstream.get_json("/ok").outcome()
        assert isinstance(outcome.error, httpx.ProxyError)


@pytest.mark.parametrize("proxy", ["https://proxy:1", "proxy:3128", "http://proxy:1/path?x"])
def test_a_proxy_that_is_no_plain_address_is_refused(proxy: str) -> None:
    with pytest.raises(ValueError, match="proxy"):
        Upstream("odd", base_url="http://h", proxy=proxy)


def make_certificate(folder: Path, name: str) -> Path:
    """A self-signed certificate for 127.0.0.1, and its key in the same file."""
    file, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = (
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 "
        f"-subj /CN={name} -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run(
        [*command.split(), "-keyout", key, "-out", file], check=True, capture_output=True
    )
    file.write_text(key.read_text() + file.read_text())
    return file


def serving(certificate: Path, clients: Path | None = None) -> ssl.SSLContext:
    """The TLS context of a server; `clients` is the certificate that a client has to show."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if clients:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@needs_openssl
async def test_tls_is_verified_against_the_given_authority(tmp_path: Path) -> None:
    server = make_certificate(tmp_path, "server")
    async with Chaos(serving(server)) as chaos:
        async with opened(chaos.url, ca_file=str(server)) as upstream:
            assert (await upstream.get_json("/ok").outcome()).status == "ok"
        async with opened(chaos.url) as upstream:
            assert isinstance((await upstream.get_json("/ok").outcome()).error, httpx.ConnectError)
        assert chaos.seen == {"GET /ok": 1}


@needs_openssl
async def test_a_service_identifies_itself_by_its_certificate(tmp_path: Path) -> None:
    server, client = (make_certificate(tmp_path, name) for name in ("server", "client"))
    async with Chaos(serving(server, clients=client)) as chaos:
        async with opened(chaos.url, ca_file=str(server), cert_file=str(client)) as upstream:
            assert (await upstream.get_json("/ok").outcome()).status == "ok"
        async with opened(chaos.url, ca_file=str(server)) as upstream:
            assert (await upstream.get_json("/ok").outcome()).status == "error"
    assert chaos.seen == {"GET /ok": 1}


@needs_openssl
async def test_certificates_are_read_again_when_their_file_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = (make_certificate(tmp_path, name) for name in ("old", "new"))
    trusted = tmp_path / "trusted.pem"
    shutil.copy(old, trusted)
    async with Chaos(serving(old)) as chaos:
        port = chaos.port
        opening = opened(
            chaos.url, ca_file=str(trusted), max_connection_age=0.1, retry=Retry(attempts=1)
        )
        upstream = await opening.__aenter__()
        assert (await upstream.get_json("/ok").outcome()).status == "ok"

        # Half of a file, as somebody may see it who reads while it is written.
        trusted.write_text(new.read_text()[:300])
        await asyncio.sleep(0.15)
        with caplog.at_level(logging.WARNING):
            assert (await upstream.get_json("/ok").outcome()).status == "ok"
        assert "TLS files cannot be read" in caplog.text

    async with Chaos(serving(new), port):
        assert (await upstream.get_json("/ok").outcome()).status == "error"
        shutil.copy(new, trusted)
        async with asyncio.timeout(10):
            while (await upstream.get_json("/ok").outcome()).status != "ok":  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await opening.__aexit__(None, None, None)


async def test_certificates_that_cannot_be_read_at_the_start_name_their_upstream() -> None:
    upstream = Upstream("vault", base_url="https://h", ca_file="/nowhere/ca.pem")
    with pytest.raises(RuntimeError, match=r"'vault'.*/nowhere/ca\.pem"):
        async with upstream.open():
            pass


def test_a_key_without_its_certificate_is_refused() -> None:
    with pytest.raises(ValueError, match="cert_file"):
        Upstream("odd", base_url="https://h", key_file="key.pem")
