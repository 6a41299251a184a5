"""What several routes answer alike."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from ancestral.api.answers import ProblemDocument

_DESCRIPTIONS = {
    400: "the body does not parse",
    401: "a key is needed, or this one is not valid",
    403: "an admin key is needed",
    404: "no such model or job",
    406: "the Accept header names nothing that can be given",
    409: "the model is not loaded, or the id is taken",
    413: "the body or the answer would be too large",
    415: "the body's media type is not read",
    422: "a field does not fit; `errors` names it",
    429: "the queue is full, or an allowance is spent; see Retry-After",
    503: "draining, or the model cannot be served",
    504: "the deadline passed before a worker was free",
}
EVENT: dict[str, Any] = {  # of a stream, as the HTML standard reads one
    "schema": {
        "type": "object",
        "required": ["event", "data"],
        "properties": {
            "id": {"type": "string", "description": "for Last-Event-ID"},
            "event": {"enum": ["started", "output", "progress", "done", "failed", "canceled"]},
            "data": {"type": "string", "description": "JSON"},
        },
    }
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "model": ProblemDocument,
        "content": {
            "application/problem+json": {
                "schema": {"$ref": "#/components/schemas/ProblemDocument"},
                "example": {
                    "type": "urn:ancestral:problem:unprocessable-content",
                    "title": "Unprocessable Content",
                    "status": status,
                    "detail": "condition.label: an integer from 0 to 9 is expected, not 12",
                    "instance": "/sample",
                    "request_id": "7b0c0c5f8f7b4cf1a9f9b2b1d9d3c001",
                    "errors": [
                        {
                            "field": "condition.label",
                            "message": "an integer from 0 to 9 is expected, not 12",
                        }
                    ],
                },
            }
        },
    }
    for status, text in _DESCRIPTIONS.items()
}


def asynchronous(request: Request) -> bool:
    """Whether the client asked not to wait (RFC 7240, `Prefer: respond-async`)."""
    wishes = ",".join(request.headers.getlist("prefer")).lower()
    return any(wish.strip() == "respond-async" for wish in wishes.replace(";", ",").split(","))


def accepted(job: str) -> Response:
    """202 with where to ask."""
    return JSONResponse(
        {"id": job, "location": f"/jobs/{job}"},
        status_code=202,
        headers={"Location": f"/jobs/{job}", "Preference-Applied": "respond-async"},
    )
