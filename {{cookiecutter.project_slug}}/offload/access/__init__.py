"""Who may call the API and how often: bearer tokens, kept as hashes, and sessions of users.

Importing this package loads no model, so that Django can import it while its apps load.
"""

from offload.access.any_client import AnyClient
from offload.access.bearer import DEV_TOKEN, BearerToken, caller
from offload.access.lifespan import lifespan
from offload.access.quota_count import QuotaHeaders
from offload.access.session_login import SessionLogin

__all__ = [
    "DEV_TOKEN",
    "AnyClient",
    "BearerToken",
    "QuotaHeaders",
    "SessionLogin",
    "caller",
    "lifespan",
]
