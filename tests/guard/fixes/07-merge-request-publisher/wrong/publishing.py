import logging

from asgiref.sync import sync_to_async

from .forge import ForgeClient, MergeRequest

logger = logging.getLogger(__name__)


class Publisher:
    def __init__(self, repo_id: str):
        self.repo_id = repo_id
        self.client = ForgeClient.create()

    async def publish(self, diff: str) -> MergeRequest:
        raise NotImplementedError


class BranchPublisher(Publisher):
    async def publish(self, diff: str) -> MergeRequest:
        branch = await self._push(diff)
        merge_request = self._open(branch, title=f"Changes on {branch}")
        self._suggest_notes(merge_request)
        logger.info("Opened merge request %s", merge_request.url)
        return merge_request

    async def _push(self, diff: str) -> str:
        from .sandbox import push

        return await push(self.repo_id, diff)

    def _open(self, branch: str, title: str) -> MergeRequest:
        return self.client.open_merge_request(self.repo_id, branch, title)

    def _suggest_notes(self, merge_request: MergeRequest) -> None:
        try:
            self.client.comment(
                self.repo_id, merge_request.number, "Consider adding an AGENTS.md file."
            )
        except Exception:
            logger.exception("Could not comment on %s", merge_request.url)


@sync_to_async
def publisher_for(repo_id: str) -> BranchPublisher:
    return BranchPublisher(repo_id)
