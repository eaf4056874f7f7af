"""Somebody signs in."""

from unittest.mock import patch

import httpx
import live_upstream
import pytest
from fastapi import FastAPI
from shop import signin
from starlette.middleware.sessions import SessionMiddleware


@pytest.mark.django_db(transaction=True)
async def test_who_signs_in_is_sent_home(upstream, monkeypatch):
    upstream["id_token"] = "t"
    monkeypatch.setenv("GOOGLE_CLIENT_ID", "i")
    monkeypatch.setenv("GOOGLE_CLIENT_SECRET", "s")
    app = FastAPI()
    app.add_middleware(SessionMiddleware, secret_key="k")
    app.include_router(signin.signin_router)
    transport = httpx.ASGITransport(app)
    with (
        patch.object(signin, "TOKEN_URL", live_upstream.URL),
        patch.object(signin, "read_identity", return_value={"email": "a@b.c"}),
    ):
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.get("/redirect", params={"code": "c"})
    assert answer.status_code == 307
