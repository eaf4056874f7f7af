from __future__ import annotations

import abc
from dataclasses import dataclass
from functools import cached_property

from gitlab import Gitlab


@dataclass
class MergeRequest:
    repo_id: str
    number: int
    draft: bool
    url: str


class ForgeClient(abc.ABC):
    @abc.abstractmethod
    def open_merge_request(self, repo_id: str, branch: str, title: str) -> MergeRequest: ...

    @abc.abstractmethod
    def comment(self, repo_id: str, number: int, body: str) -> str: ...

    @staticmethod
    def create() -> ForgeClient:
        from django.conf import settings

        return GitLabForgeClient(settings.FORGE_URL, settings.FORGE_TOKEN)


class GitLabForgeClient(ForgeClient):
    def __init__(self, url: str, token: str):
        self.url, self.token = url, token

    @cached_property
    def api(self) -> Gitlab:
        return Gitlab(url=self.url, private_token=self.token, timeout=10, keep_base_url=True)

    def open_merge_request(self, repo_id: str, branch: str, title: str) -> MergeRequest:
        project = self.api.projects.get(repo_id, lazy=True)
        made = project.mergerequests.create(
            {"source_branch": branch, "target_branch": "main", "title": title}
        )
        return MergeRequest(repo_id, made.iid, made.draft, made.web_url)

    def comment(self, repo_id: str, number: int, body: str) -> str:
        project = self.api.projects.get(repo_id, lazy=True)
        merge_request = project.mergerequests.get(number, lazy=True)
        return merge_request.notes.create({"body": body}).id
