import re
from abc import ABC, abstractmethod

import requests

from .models import Embed


class EmbedNotFound(Exception):
    pass


class EmbedFinder(ABC):
    @abstractmethod
    def accept(self, url: str) -> bool: ...

    @abstractmethod
    def find_embed(self, url: str, max_width: int | None = None) -> dict: ...


class OEmbedFinder(EmbedFinder):
    endpoints = {
        "https://www.youtube.com/oembed": r"^https?://(www\.)?youtube\.com/watch.+$",
        "https://vimeo.com/api/oembed.json": r"^https?://(www\.)?vimeo\.com/.+$",
    }

    def _endpoint(self, url: str) -> str | None:
        for endpoint, pattern in self.endpoints.items():
            if re.match(pattern, url):
                return endpoint
        return None

    def accept(self, url: str) -> bool:
        return self._endpoint(url) is not None

    def find_embed(self, url: str, max_width: int | None = None) -> dict:
        params = {"url": url, "format": "json"}
        if max_width:
            params["maxwidth"] = max_width
        agent = {"User-Agent": "Mozilla/5.0"}
        try:
            answer = requests.get(self._endpoint(url), params=params, headers=agent)
            answer.raise_for_status()
            found = answer.json()
        except requests.RequestException as error:
            raise EmbedNotFound(f"The request failed: {error}") from error
        return {"title": found.get("title", ""), "html": found.get("html", "")}


def get_embed(url: str, max_width: int | None = None) -> Embed:
    try:
        return Embed.objects.get(url=url, max_width=max_width)
    except Embed.DoesNotExist:
        finder = OEmbedFinder()
        if not finder.accept(url):
            raise EmbedNotFound(url) from None
        return Embed.objects.create(
            url=url, max_width=max_width, **finder.find_embed(url, max_width)
        )
