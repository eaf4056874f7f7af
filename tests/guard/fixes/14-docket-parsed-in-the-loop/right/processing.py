import asyncio
import concurrent.futures
import functools
import logging
import multiprocessing

from asgiref.sync import sync_to_async

from .models import DocketEntry, Upload
from .reports import parse_docket

logger = logging.getLogger(__name__)


async def mark(upload: Upload, status: str, message: str) -> None:
    upload.status, upload.message = status, message
    await upload.asave(update_fields=["status", "message"])


@sync_to_async
def read_text(upload: Upload) -> str:
    with upload.file.open("rb") as handle:
        return handle.read().decode()


@functools.cache
def parsers() -> concurrent.futures.ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return concurrent.futures.ProcessPoolExecutor(max_workers=2, mp_context=context)


async def parse_in_a_process(court_id: str, text: str) -> dict:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(parsers(), parse_docket, court_id, text)


async def process_docket(pk: int) -> int | None:
    upload = await Upload.objects.aget(pk=pk)
    await mark(upload, "running", "")
    try:
        text = await read_text(upload)
    except OSError as error:
        await mark(upload, "failed", f"The file cannot be read ({error.errno}).")
        return None

    data = await parse_in_a_process(upload.court_id, text)
    logger.info("Parsed upload %s", upload.pk)

    if not data:
        await mark(upload, "failed", "Not a valid docket upload.")
        return None
    await DocketEntry.objects.abulk_create(
        [DocketEntry(upload=upload, **entry) for entry in data["entries"]]
    )
    await mark(upload, "done", f"{len(data['entries'])} entries")
    return upload.pk
