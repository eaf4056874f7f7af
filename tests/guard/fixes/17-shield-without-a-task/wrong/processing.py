from .models import Upload


async def process_upload(upload: Upload) -> None:
    upload.status = "running"
    await upload.asave(update_fields=["status"])
    found = await Upload.objects.filter(court_id=upload.court_id, sha1=upload.sha1).acount()
    upload.status = "duplicate" if found > 1 else "done"
    await upload.asave(update_fields=["status"])
