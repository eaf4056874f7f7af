import httpx
from dependency_injector import containers, providers
from django.conf import settings

from .gateways import OfferGateway


class Container(containers.DeclarativeContainer):
    config = providers.Configuration()

    http_client = providers.Factory(httpx.AsyncClient, timeout=10.0)

    offers = providers.Factory(OfferGateway, http_client=http_client, base_url=config.offers_url)


def get_container() -> Container:
    container = Container()
    container.config.from_dict({"offers_url": settings.OFFERS_URL})
    return container
