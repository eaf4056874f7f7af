import abc
from functools import cache

from .models import StartReceipt


class ReceiptsBase(abc.ABC):
    @abc.abstractmethod
    async def record(self, job_uuid: str, worker: str, timestamp) -> None: ...


class Receipts(ReceiptsBase):
    async def record(self, job_uuid: str, worker: str, timestamp) -> None:
        await StartReceipt.objects.acreate(job_uuid=job_uuid, worker=worker, timestamp=timestamp)


@cache
def receipts() -> ReceiptsBase:
    return Receipts()
