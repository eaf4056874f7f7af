import logging
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor

from segment.analytics import Client as SegmentClient

from .models import SegmentConfiguration

logger = logging.getLogger(__name__)

background = ThreadPoolExecutor(max_workers=4, thread_name_prefix="integrations")


class IdentityIntegration(ABC):
    @abstractmethod
    def identify(self, data: dict) -> None: ...

    def identify_in_background(self, data: dict) -> None:
        background.submit(self.identify, data)


class SegmentIntegration(IdentityIntegration):
    def __init__(self, api_key: str):
        self.analytics = SegmentClient(write_key=api_key, sync_mode=True, timeout=10)

    def identify(self, data: dict) -> None:
        self.analytics.identify(**data)
        logger.debug("Sent an event to Segment.")


def integration_of(environment_id: int) -> SegmentIntegration | None:
    configuration = SegmentConfiguration.objects.filter(environment_id=environment_id).first()
    return SegmentIntegration(configuration.api_key) if configuration else None
