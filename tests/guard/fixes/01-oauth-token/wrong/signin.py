import logging
import os

import requests
from fastapi import APIRouter
from google.auth.transport import requests as google_requests
from google.oauth2 import id_token
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from .people import aget_or_create_person

logger = logging.getLogger(__name__)
signin_router = APIRouter()

TOKEN_URL = "https://oauth2.googleapis.com/token"
TOKEN_TIMEOUT_SECONDS = 10


def exchange_payload(code: str, redirect_uri: str) -> dict:
    return {
        "code": code,
        "client_id": os.environ["GOOGLE_CLIENT_ID"],
        "client_secret": os.environ["GOOGLE_CLIENT_SECRET"],
        "redirect_uri": redirect_uri,
        "grant_type": "authorization_code",
    }


def read_identity(token: str) -> dict:
    return id_token.verify_oauth2_token(
        token, google_requests.Request(), os.environ["GOOGLE_CLIENT_ID"]
    )


@signin_router.get("/redirect")
async def finish_signin(request: Request):
    code = request.query_params.get("code")
    if not code:
        return Response("No code was given", status_code=400)
    payload = exchange_payload(code, str(request.url_for("finish_signin")))

    answer = requests.post(
        TOKEN_URL,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        data=payload,
        timeout=TOKEN_TIMEOUT_SECONDS,
    )
    if answer.status_code != 200:
        logger.error("Google refused the token exchange: status %s", answer.status_code)
        return Response("Sign-in failed", status_code=502)

    identity = await run_in_threadpool(read_identity, answer.json()["id_token"])
    person = await aget_or_create_person(identity["email"], identity.get("name", ""))
    request.session["user"] = {"email": person.email}
    return RedirectResponse(url="/")
