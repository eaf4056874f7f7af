import abc
from functools import cache

from .models import StartReceipt


class ReceiptsBase(abc.ABC):
    @abc.abstractmethod
    def started(self, job_uuid: str) -> StartReceipt: ...

    @abc.abstractmethod
    async def record(self, job_uuid: str, worker: str, timestamp) -> None: ...


class Receipts(ReceiptsBase):
    def started(self, job_uuid: str) -> StartReceipt:
        return StartReceipt.objects.get(job_uuid=job_uuid)

    async def record(self, job_uuid: str, worker: str, timestamp) -> None:
        await StartReceipt.objects.acreate(job_uuid=job_uuid, worker=worker, timestamp=timestamp)


@cache
def receipts() -> ReceiptsBase:
    return Receipts()
