"""Uploads: large bodies and forms, sent in pieces, and again as a whole after a failure."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import pytest
from chaos import MEGABYTE, Chaos, opened, tasks, until
from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.http.multipartparser import MultiPartParser
from test_protections import QUICK, Script, declare

from offload.fanout import FilePart, Upload, multipart
from offload.fanout.http import httpx

pytestmark = pytest.mark.timeout(30)

PIECES = [b"first", b"second" * 1000, b"third"]


async def pieces() -> AsyncIterator[bytes]:
    for piece in PIECES:
        yield piece


async def test_a_file_arrives_whole_and_is_read_again_for_a_second_attempt(
    chaos: Chaos, tmp_path: Path
) -> None:
    content = random.Random(7).randbytes(3 * MEGABYTE + 1)
    file = tmp_path / "report.bin"
    file.write_bytes(content)
    async with opened(chaos.url, retry=QUICK) as upstream:
        body = await Upload.of_file(file, "application/pdf")
        call = upstream.request("PUT", "/upload", body=body)
        outcome = await call.with_limits(timeout=20, attempt_timeout=10).outcome()
    assert (outcome.status, outcome.attempts) == ("ok", 2)
    assert chaos.uploads == [content] * 2
    assert chaos.headers[0]["content-length"] == str(len(content))
    assert chaos.headers[0]["content-type"] == "application/pdf"


async def test_a_body_of_unknown_length_is_sent_in_chunks(chaos: Chaos) -> None:
    async with opened(chaos.url) as upstream:
        outcome = await upstream.request("POST", "/upload", body=Upload(pieces)).outcome()
    assert (outcome.status, outcome.attempts) == ("error", 1), "a write is not sent again"
    assert chaos.uploads == [b"".join(PIECES)]
    assert chaos.headers[0]["transfer-encoding"] == "chunked"


@pytest.mark.parametrize("length", [len(b"".join(PIECES)), None])
async def test_a_form_with_fields_and_files_arrives_as_a_browser_would_send_it(
    chaos: Chaos, length: int | None
) -> None:
    form = multipart(
        {"title": "Größe", 'odd"name': "two\r\nlines"},
        {
            "report": FilePart('re"port\r\nX-Evil: 1.pdf', b"%PDF", "application/pdf"),
            "data": FilePart("data.bin", Upload(pieces, length)),
        },
    )
    async with opened(chaos.url) as upstream:
        await upstream.request("POST", "/upload", body=form).outcome()
    (body,) = chaos.uploads
    sent = chaos.headers[0]
    assert ("content-length" in sent) == (length is not None)
    meta = {"CONTENT_TYPE": sent["content-type"], "CONTENT_LENGTH": str(len(body))}
    handlers = [MemoryFileUploadHandler()]
    handlers[0].activated = True
    posted, files = MultiPartParser(meta, BytesIO(body), handlers, "utf-8").parse()
    assert posted.dict() == {"title": "Größe", "odd%22name": "two\r\nlines"}
    assert files["report"].read() == b"%PDF"
    assert files["data"].read() == b"".join(PIECES)
    assert b"\r\nX-Evil" not in body


async def test_an_upload_reaches_an_injected_transport_too() -> None:
    script = Script(200)
    upstream = declare()
    with upstream.using(httpx.MockTransport(script)):
        await upstream.request("POST", "/", body=multipart({"a": "b"}))
    (request,) = script.requests
    assert b'name="a"\r\n\r\nb\r\n--' in request.content
    assert request.headers["Content-Length"] == str(len(request.content))


async def test_the_content_type_that_a_call_names_stands() -> None:
    script = Script(200)
    upstream = declare()
    with upstream.using(httpx.MockTransport(script)):
        body = Upload(pieces, 10)
        await upstream.request("POST", "/", headers={"content-type": "text/csv"}, body=body)
    assert script.requests[0].headers.get_list("Content-Type") == ["text/csv"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads the open files in /proc")
async def test_an_upload_that_is_cut_off_leaves_neither_its_file_nor_a_task(tmp_path: Path) -> None:
    file = tmp_path / "report.bin"
    file.write_bytes(bytes(32 * MEGABYTE))

    def still_open() -> bool:
        return str(file) in [os.path.realpath(fd) for fd in Path("/proc/self/fd").iterdir()]

    async def unread(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        asked.set()
        await gone.wait()
        writer.transport.abort()

    asked, gone = asyncio.Event(), asyncio.Event()
    server = await asyncio.start_server(unread, "127.0.0.1", 0, limit=1)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with opened(url) as upstream:
        body = await Upload.of_file(file)
        call = upstream.request("POST", "/", body=body).with_limits(timeout=30, attempt_timeout=30)
        sending = asyncio.create_task(call.outcome())
        await asked.wait()
        assert still_open()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await until(
            lambda: not still_open() and not [each for each in tasks() if "unread" not in each]
        )
    gone.set()
    server.close()
