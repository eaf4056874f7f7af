"""Lets every client call a route, as often as its address may."""

from dataclasses import dataclass

from django.http import HttpRequest

from offload.access.app_config import app_config
from offload.access.client_address import address_group, client_address


@dataclass(frozen=True, slots=True)
class ClientAddress:
    """Who calls without a login. It is no owner: `caller` answers 401."""

    address: str

    def __str__(self) -> str:
        return f"address {self.address}"


class AnyClient:
    """django-ninja's `auth=` of a public route. Requests count by client address.

    `auth=AnyClient()` counts every request so, whatever it carries. As the last one of
    `auth=[BearerToken(), SessionLogin(), AnyClient()]` it counts those without a valid login; the
    others count by owner. The address is the connection's, or the last one of `X-Forwarded-For`
    that no trusted proxy has (`Offload.trusted_proxies`). IPv6 addresses count by their /64.
    """

    async def __call__(self, request: HttpRequest) -> ClientAddress:
        """The client's address.

        Raises:
            Problem: 429, the address's quota is used up; 503, it cannot be counted.
        """
        address = address_group(client_address(request))
        if quota := app_config().quota:
            await quota.take(request, quota.per_address, address)
        return ClientAddress(address)
