"""The one place that imports httpx: to switch to its continuation, write `import httpx2 as httpx`."""

import httpx as httpx

__all__ = ["httpx"]
