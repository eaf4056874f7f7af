from .models import Device
from .search import search_backend


def index_device(pk: int) -> None:
    """A job of the RQ worker."""
    device = Device.objects.filter(pk=pk).first()
    if device is not None:
        search_backend.cache(device)


def forget_device(pk: int) -> None:
    search_backend.remove(Device, pk)
