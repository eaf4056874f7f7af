"""The tool lists the repositories of the forge."""

import json

from shop.server import mcp


async def test_repositories_are_listed(upstream):
    upstream["list"] = [{"id": 1, "path_with_namespace": "a/b", "name": "b"}]
    result = await mcp.call_tool("list_repositories", {})
    content = result[0] if isinstance(result, tuple) else result
    assert json.loads(content[0].text) == [{"id": "a/b", "name": "b"}]
