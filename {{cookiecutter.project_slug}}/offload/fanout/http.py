"""The one place that imports httpx. To use its successor, write `import httpx2 as httpx` here."""

import httpx as httpx

__all__ = ["httpx"]
