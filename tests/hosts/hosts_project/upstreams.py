"""A service outside, which `outside.py` plays: three addresses of it are asked at once."""

import os

from offload.fanout import Upstream

outside = [
    Upstream(name, base_url=os.environ.get("OUTSIDE", "http://127.0.0.1:9000"), single_flight=False)
    for name in ("prices", "rates", "news")
]
