"""`POST /tokens`: what a browser's socket or event stream shows in place of a key."""

from __future__ import annotations

import secrets

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from ancestral.api.answers import TokenAnswer
from ancestral.api.guard import token_hash
from ancestral.api.problems import Problem
from ancestral.api.routes import PROBLEMS
from ancestral.api.services import services_of
from ancestral.api.visits import current_visit

router = APIRouter(tags=["access"])


@router.post(
    "/tokens",
    summary="A short-lived token",
    description="It stands for the key that asked for it in a socket's subprotocol "
    "`ancestral.token.TOKEN` or in `?token=` of a GET, until it expires. 409 where no keys are "
    "asked for.",
    responses={200: {"model": TokenAnswer}, **{status: PROBLEMS[status] for status in (401, 409)}},
)
async def tokens(request: Request) -> JSONResponse:
    visit, seconds = current_visit.get(), services_of(request).settings.token_seconds
    if visit.key is None or visit.ledger is None:
        raise Problem(409, "Conflict", "this server asks nobody for a key")
    token = secrets.token_urlsafe(24)
    await visit.ledger.issue(token_hash(token), visit.key.id, seconds)
    return JSONResponse(
        {"token": token, "expires_in": seconds}, headers={"Cache-Control": "no-store"}
    )
