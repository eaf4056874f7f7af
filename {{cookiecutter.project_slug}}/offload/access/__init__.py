"""Who may call the API: bearer tokens, kept as hashes, and the sessions of users.

Importing this package loads no model, so that Django can import it while its apps load.
"""

from offload.access.bearer import DEV_TOKEN, BearerToken, caller
from offload.access.session_login import SessionLogin

__all__ = ["DEV_TOKEN", "BearerToken", "SessionLogin", "caller"]
