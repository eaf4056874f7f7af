from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from gitlab import Gitlab


@dataclass(frozen=True)
class Repo:
    slug: str
    name: str


class RepoClient:
    def __init__(self, api: Gitlab):
        self._api = api

    @classmethod
    def create(cls) -> RepoClient:
        return cls(Gitlab(settings.FORGE_URL, private_token=settings.FORGE_TOKEN, timeout=10))

    def list_repositories(self, search: str | None, limit: int) -> list[Repo]:
        projects = self._api.projects.list(
            search=search, membership=True, per_page=limit, get_all=False, simple=True
        )
        return [Repo(one.path_with_namespace, one.name) for one in projects]
