import asyncio
import json
import logging

from asgiref.sync import sync_to_async
from mcp.server.fastmcp import FastMCP

from .forge import RepoClient
from .models import Job
from .tasks import run_job

logger = logging.getLogger(__name__)

mcp = FastMCP(name="builder", stateless_http=True)


@mcp.tool()
async def submit_job(repo_id: str, prompt: str) -> str:
    """Start a job in a repository; the answer names its id."""
    job = await Job.objects.acreate(repo_id=repo_id, prompt=prompt)
    await sync_to_async(run_job.delay)(job.pk)
    return json.dumps({"job_id": job.pk})


@mcp.tool()
async def get_job_status(job_id: int) -> str:
    """The state of a job."""
    job = await Job.objects.filter(pk=job_id).afirst()
    return json.dumps({"status": job.status} if job else {"error": "unknown job"})


def _find_repositories(search: str | None, limit: int):
    return RepoClient.create().list_repositories(search=search, limit=limit)


@mcp.tool()
async def list_repositories(search: str | None = None, limit: int = 20) -> str:
    """The repositories that a job can work in."""
    try:
        found = await asyncio.to_thread(_find_repositories, search, limit)
    except Exception:
        logger.exception("Could not list repositories (search=%r)", search)
        return json.dumps({"error": "The repositories cannot be listed now."})
    return json.dumps([{"id": repo.slug, "name": repo.name} for repo in found])
