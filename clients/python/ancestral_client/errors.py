"""What can go wrong, as exceptions; a refusal carries the server's problem document (RFC 9457)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx


class AncestralError(Exception):
    """Base of everything that this package raises by itself."""


class Unreachable(AncestralError):
    """The server does not answer: never did, or not for as long as the client's patience lasts."""


class StreamBroken(AncestralError):
    """The server broke the protocol, or goes on with other weights than those it began with."""


class JobCanceled(AncestralError):
    """Somebody canceled the job that was waited for."""


class JobPending(AncestralError):
    """A job has no result yet."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """A field at fault, as it is written in a request (`condition.label`), and why."""

    field: str
    message: str


class ProblemError(AncestralError):
    """A refusal. `document` is the whole problem document; its members are attributes.

    retry_after   seconds after which the server asks to come back; None where it does not say
    """

    def __init__(self, document: Mapping[str, Any], retry_after: float | None = None) -> None:
        self.document = dict(document)
        self.retry_after = retry_after
        super().__init__(f"{self.status} {self.title}: {self.detail}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.document, self.retry_after)

    @property
    def type(self) -> str:
        return str(self.document.get("type", "about:blank"))

    @property
    def status(self) -> int:
        return int(self.document.get("status", 0))

    @property
    def title(self) -> str:
        return str(self.document.get("title", ""))

    @property
    def detail(self) -> str:
        return str(self.document.get("detail", ""))

    @property
    def instance(self) -> str | None:
        return self.document.get("instance")

    @property
    def request_id(self) -> str | None:
        """What the server's log knows the request by."""
        return self.document.get("request_id")

    @property
    def errors(self) -> tuple[FieldError, ...]:
        found = self.document.get("errors", ())
        return tuple(FieldError(str(e["field"]), str(e["message"])) for e in found)


class Unauthorized(ProblemError):
    """401, 403: a key is missing, or does not allow this."""


class NotFound(ProblemError):
    """404: no such model or job, or the job has expired."""


class Conflict(ProblemError):
    """409: the model is not loaded, the id is taken, the job has not ended."""


class Invalid(ProblemError):
    """400, 413, 415, 422: the request does not fit; `errors` names the fields."""


class QueueFull(ProblemError):
    """429: still no room after the client's patience."""


class Unavailable(ProblemError):
    """503: the server drains, or the model cannot be served."""


class DeadlinePassed(ProblemError):
    """504: `timeout_seconds` passed before a worker was free."""


class ItemError(ProblemError):
    """One item of several cannot be scored; `index` counts from 0 over all inputs."""

    index: int = 0

    @classmethod
    def of(cls, index: int, document: Mapping[str, Any]) -> ItemError:
        error = cls(document)
        error.index = index
        error.add_note(f"item {index} of the inputs")
        return error

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).of, (self.index, self.document)


_BY_STATUS: dict[int, type[ProblemError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Unauthorized,
    404: NotFound,
    409: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: QueueFull,
    503: Unavailable,
    504: DeadlinePassed,
}


def problem(document: Mapping[str, Any], retry_after: float | None = None) -> ProblemError:
    """The exception for a problem document, by its status."""
    kind = _BY_STATUS.get(int(document.get("status", 0)), ProblemError)
    return kind(document, retry_after)


def of_answer(status: int, headers: Mapping[str, str], body: bytes) -> ProblemError:
    """The exception for an HTTP answer; a body that is no problem document becomes its detail."""
    document: dict[str, Any] = {}
    if headers.get("content-type", "").startswith("application/problem+json"):
        document = httpx.Response(status, content=body).json()
    else:
        document = {"title": httpx.codes.get_reason_phrase(status)}
        document["detail"] = body[:300].decode(errors="replace")
    document.setdefault("status", status)
    return problem(document, seconds(headers.get("retry-after")))


def seconds(retry_after: str | None) -> float | None:
    """Retry-After, a number of seconds or a date (RFC 9110, 10.2.3); None where it is neither."""
    text = "" if retry_after is None else retry_after.strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
