"""Whose address a request counts for."""

import ipaddress

from django.http import HttpRequest

# Characters. An IPv6 address with the name of an interface is shorter. A proxy that passes on what
# its client wrote into X-Forwarded-For could send any text, and each is kept for a while.
MAX_ADDRESS_LENGTH = 64


def client_address(request: HttpRequest | None) -> str:
    """Where a request comes from, behind the proxies that the service trusts."""
    if request is None:
        return ""
    return str(request.META.get("REMOTE_ADDR") or "")[:MAX_ADDRESS_LENGTH]


def address_group(address: str) -> str:
    """The address, or the /64 network of an IPv6 address, which one customer has to itself."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    # A listener on `::` sees IPv4 clients so. All of them are in one /64.
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
