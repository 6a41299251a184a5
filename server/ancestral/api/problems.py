"""Errors as RFC 9457 problem documents, each with a request id and the fields at fault."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from ancestral.broker import BrokerUnavailable, JobExists, JobUnknown, QueueFull
from ancestral.store import PackageError

logger = logging.getLogger("ancestral.api")

MEDIA_TYPE = "application/problem+json"
_ROOTS = {"body", "query", "path", "header"}  # where FastAPI says that a field lies
_KINDS = {"File", "list[any]"}  # what pydantic calls the members of a union
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}  # RFC 9110's; Python's vary
AGAIN_SECONDS = "5"  # after which to come back, where a worker could not do it now
_LONGEST = 300  # characters of a message
_PLAINLY = {  # pydantic's kinds of errors, where its words say little to those who call a server
    "extra_forbidden": "there is no such field here",
    "model_attributes_type": "a JSON object is expected, as Content-Type: application/json",
}


class Problem(Exception):
    """A refusal. `errors` are (field, message) pairs."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        errors: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status, self.title, self.detail = status, title, detail
        self.errors = list(errors)
        self.headers = dict(headers or {})
        super().__init__(detail)

    @classmethod
    def of_field(cls, field: str, message: str, status: int = 422) -> Problem:
        """One field is at fault."""
        message = message.removeprefix(f"{field}: ")
        return cls(status, _title(status), f"{field}: {message}", [(field, message)])

    @classmethod
    def of_event(cls, data: Mapping[str, Any]) -> Problem:
        """What a job's `failed` event says."""
        errors = [(str(e["field"]), str(e["message"])) for e in data.get("errors", ())]
        status = int(data.get("status", 500))
        headers = {"Retry-After": AGAIN_SECONDS} if status == 503 else None
        told = str(data.get("title", "")), str(data.get("detail", ""))
        return cls(status, *told, errors, headers)

    def document(self, instance: str = "", request_id: str = "") -> dict[str, Any]:
        """The members of the problem document."""
        document: dict[str, Any] = {
            "type": "urn:ancestral:problem:" + "-".join(self.title.lower().split()),
            "title": self.title,
            "status": self.status,
            "detail": _said(self.detail),
        }
        if instance:
            document["instance"] = instance
        if request_id:
            document["request_id"] = request_id
        if self.headers.get("Retry-After", "").isdecimal():
            document["retry_after"] = int(self.headers["Retry-After"])
        if self.errors:
            document["errors"] = [
                {"field": _said(field), "message": _said(message)} for field, message in self.errors
            ]
        return document


def of_error(error: Exception) -> Problem:
    """Any error as a problem; what is not understood is a 500 without details."""
    match error:
        case Problem():
            return error
        case JobExists():
            return Problem(409, "Conflict", "another request has this id", [("id", "is taken")])
        case JobUnknown():
            return Problem(404, "Not Found", "there is no such job, or it has expired")
        case BrokerUnavailable():
            logger.error("the broker: %s", error)
            detail = "the broker does not answer; try again"
            return Problem(503, _title(503), detail, headers={"Retry-After": "2"})
        case ValidationError() | RequestValidationError():
            return of_validation(error)
        case PackageError():
            logger.error("the store: %s", error)
            return Problem(503, _title(503), f"the store of models is broken: {error.message}")
        case ValueError() if isinstance(getattr(error, "field", None), str):
            return Problem.of_field(error.field, str(error))  # type: ignore[attr-defined]
        case HTTPException():
            return Problem(
                error.status_code,
                _title(error.status_code),
                str(error.detail),
                headers=error.headers,
            )
    logger.error("a request failed", exc_info=error)
    return Problem(500, _title(500), "the server met an error; see its log for the request id")


def draining() -> Problem:
    """This process is about to stop."""
    return Problem(503, "Draining", "the server is about to stop", (), {"Retry-After": "5"})


class ClientGone(Exception):
    """Nobody listens any more."""


def of_full_queue(error: QueueFull, status: int) -> Problem:
    """429, or 503, with the seconds after which to come back."""
    seconds = str(int(error.retry_after))
    detail = f"{error.reason}: {error.depth} jobs wait; try again in {seconds} s"
    return Problem(status, "Queue full", detail, headers={"Retry-After": seconds})


def of_validation(error: ValidationError | RequestValidationError) -> Problem:
    """Which fields of a request do not fit its schema."""
    errors = []
    status = 422
    for found in error.errors():
        if found["type"] == "json_invalid":
            status = 400
            errors.append(("body", f"is not JSON: {found.get('ctx', {}).get('error', '')}"))
            continue
        message = _PLAINLY.get(found["type"]) or str(found["msg"]).removeprefix("Value error, ")
        errors.append((field_of(found["loc"]), message))
    detail = "; ".join(f"{field}: {message}" for field, message in errors)
    return Problem(status, _title(status), detail, errors)


def field_of(location: Sequence[int | str]) -> str:
    """A field's path as a client writes it: `inputs[0].data`."""
    parts = [part for index, part in enumerate(location) if index or part not in _ROOTS]
    parts = [part for part in parts if part not in _KINDS]
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "body"


def _said(text: str) -> str:
    """A part of an answer: bounded, and with nothing that UTF-8 cannot hold."""
    whole = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return whole.encode(errors="replace").decode()


def _title(status: int) -> str:
    return _TITLES.get(status) or HTTPStatus(status).phrase


def request_id(request: Request) -> str:
    """The id that the middleware gave to this request."""
    found: str = request.scope.get("state", {}).get("request_id", "")
    return found


def respond(problem: Problem, instance: str = "", identity: str = "") -> JSONResponse:
    """The answer; under /v2 as the Open Inference Protocol has it."""
    if instance == "/v2" or instance.startswith("/v2/"):
        said = [problem.title, _said(problem.detail)]
        said += [
            _said(f"{field}: {message}")
            for field, message in problem.errors[:1]
            if message not in problem.detail
        ]
        return JSONResponse(
            {"error": ": ".join(said)}, status_code=problem.status, headers=problem.headers
        )
    return JSONResponse(
        problem.document(instance, identity),
        status_code=problem.status,
        headers=problem.headers,
        media_type=MEDIA_TYPE,
    )


def install(app: FastAPI) -> None:
    """Answer every error of the app with a problem document."""

    async def answer(request: Request, error: Exception) -> JSONResponse:
        return respond(of_error(error), request.url.path, request_id(request))

    async def silence(request: Request, error: Exception) -> Response:
        return Response(status_code=499)  # nobody reads it

    app.add_exception_handler(ClientGone, silence)
    known = (Problem, BrokerUnavailable, JobExists, JobUnknown, RequestValidationError, ValueError)
    for kind in known:
        app.add_exception_handler(kind, answer)
    app.add_exception_handler(HTTPException, answer)
    app.add_exception_handler(Exception, answer)
