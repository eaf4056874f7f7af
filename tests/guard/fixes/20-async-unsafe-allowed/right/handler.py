import logging

import aiohttp
from aiohttp import web
from asgiref.sync import sync_to_async

from .models import ContentArtifact

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS = 10


class Handler:
    async def stream(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        try:
            artifact = await ContentArtifact.objects.aget(relative_path=path)
        except ContentArtifact.DoesNotExist:
            raise web.HTTPNotFound from None
        return await self._stream_artifact(request, web.StreamResponse(), artifact)

    async def _stream_artifact(self, request, response, artifact) -> web.StreamResponse:
        def sources() -> list:
            rows = artifact.remoteartifact_set.select_related("remote")
            return list(rows.order_by("-priority"))

        for remote_artifact in await sync_to_async(sources)():
            try:
                return await self._stream_from(request, response, remote_artifact)
            except aiohttp.ClientResponseError as error:
                logger.warning("%s answered %s", remote_artifact.url, error.status)
        raise web.HTTPNotFound

    async def _stream_from(self, request, response, remote_artifact) -> web.StreamResponse:
        remote = remote_artifact.remote
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_TIMEOUT_SECONDS, sock_read=remote.read_timeout
        )
        async with aiohttp.ClientSession(headers=remote.headers, timeout=timeout) as session:
            async with session.get(remote_artifact.url, raise_for_status=True) as answer:
                await response.prepare(request)
                async for chunk in answer.content.iter_chunked(65536):
                    await response.write(chunk)
        await response.write_eof()
        return response
