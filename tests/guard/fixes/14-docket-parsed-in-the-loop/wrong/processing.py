import logging

from asgiref.sync import sync_to_async

from .models import DocketEntry, Upload
from .reports import DocketReport

logger = logging.getLogger(__name__)


async def mark(upload: Upload, status: str, message: str) -> None:
    upload.status, upload.message = status, message
    await upload.asave(update_fields=["status", "message"])


@sync_to_async
def read_text(upload: Upload) -> str:
    with upload.file.open("rb") as handle:
        return handle.read().decode()


async def process_docket(pk: int) -> int | None:
    upload = await Upload.objects.aget(pk=pk)
    await mark(upload, "running", "")
    try:
        text = await read_text(upload)
    except OSError as error:
        await mark(upload, "failed", f"The file cannot be read ({error.errno}).")
        return None

    report = DocketReport(upload.court_id)
    report.parse(text)
    data = report.data
    logger.info("Parsed upload %s", upload.pk)

    if not data:
        await mark(upload, "failed", "Not a valid docket upload.")
        return None
    await DocketEntry.objects.abulk_create(
        [DocketEntry(upload=upload, **entry) for entry in data["entries"]]
    )
    await mark(upload, "done", f"{len(data['entries'])} entries")
    return upload.pk
