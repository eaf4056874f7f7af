"""Who may call the API: bearer tokens, kept as hashes.

Importing this package loads no model, so that Django can import it while its apps load.
"""

from offload.access.bearer import DEV_TOKEN, BearerToken, caller

__all__ = ["DEV_TOKEN", "BearerToken", "caller"]
