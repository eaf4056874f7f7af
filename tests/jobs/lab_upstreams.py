"""An upstream that nobody serves."""

from offload.fanout import Upstream

# The port of `discard`, which nothing listens on.
nowhere = Upstream("nowhere", base_url="http://127.0.0.1:9")
