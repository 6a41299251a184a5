"""`ancestral.v1` as a state machine: messages in, messages out, no sockets and no queue.

The first message may be any. One socket carries several jobs, told apart by `job` in JSON and by
`stream` in binary frames. What is not understood gets an `error` message, and the socket stays
open.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from ancestral.api.problems import Problem, of_validation
from ancestral.api.schemas import Body, SampleBody
from ancestral.api.wire import Frame
from ancestral.broker import Entry

SUBPROTOCOL = "ancestral.v1"
MOST_STREAMS = 256  # jobs that one socket may carry at a time

Format = Literal["codes", "pcm16"]
Ref = Annotated[str, Field(max_length=128)]
Identity = Annotated[str, Field(min_length=1, max_length=64)]
Site = Annotated[int, Field(ge=0)]


class Generate(SampleBody):
    """Start a job; `ref` is echoed, so that the client can tell the answers apart."""

    type: Literal["generate"]
    ref: Ref | None = None
    format: Format = "codes"
    progress: bool = False


class Cancel(Body):
    """End a job."""

    type: Literal["cancel"]
    job: Identity


class Pause(Body):
    """Draw no more of a job for now, or go on."""

    type: Literal["pause", "unpause"]
    job: Identity


class Resume(Body):
    """Attach to a job, from site `next[i]` of item i on."""

    type: Literal["resume"]
    job: Identity
    next: list[Site]
    ref: Ref | None = None
    format: Format = "codes"
    progress: bool = False


Command = Generate | Cancel | Pause | Resume
_COMMAND: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="type")])


@dataclass(slots=True)
class Stream:
    """One job on one socket: turns the entries of its result stream into messages.

    `to_pcm(payload, dtype)` is needed where the format is pcm16; `tells` asks for `progress`.
    """

    number: int
    job: str
    ref: str | None
    format: Format = "codes"
    next: list[int] | None = None
    to_pcm: Callable[[bytes, str], bytes] | None = None
    tells: bool = False
    dtype: str = ""
    ended: bool = field(default=False)
    _log_prob: dict[int, float] = field(default_factory=dict)

    def deliver(self, entry: Entry) -> str | bytes | None:
        """The message for an entry; None where it has nothing new for this client."""
        if entry.event == "output":
            return self._values(entry)
        self.ended = entry.final
        if entry.event == "started":
            return self._started(entry.data)
        if entry.event == "failed":
            return self.error(Problem.of_event(entry.data))
        return self._message(entry.event, entry.data)

    def progress(self, entry: Entry) -> str | None:
        """After an item's values: its log-likelihood so far in nats, where that was asked for.

        To be called with every entry, as it sums up from the first site on.
        """
        if not self.tells or entry.event != "output":
            return None
        item, sites = entry.data["item"], entry.data["first_site"] + entry.data["count"]
        self._log_prob[item] = self._log_prob.get(item, 0.0) + entry.data["log_prob"]
        if self.next is not None and sites <= self.next[item]:
            return None
        so_far = {"item": item, "sites": sites, "log_prob": self._log_prob[item]}
        return self._message("progress", so_far)

    def error(self, problem: Problem) -> str:
        """The job failed."""
        self.ended = True
        return self._message("error", {"error": problem.document()})

    def queued(self) -> str:
        """The job's id, before a worker has taken it."""
        return self._message("queued", {})

    def _started(self, data: Mapping[str, Any]) -> str:
        self.dtype = data["dtype"]
        if self.next is not None and len(self.next) != data["count"]:
            detail = f"the job has {data['count']} items; {len(self.next)} sites are given"
            return self.error(Problem.of_field("next", detail))
        told = {name: value for name, value in data.items() if value is not None}
        if self.format == "pcm16":
            told["dtype"] = "int16"
        return self._message("started", {**told, "format": self.format})

    def _values(self, entry: Entry) -> bytes | None:
        data, values, dtype = entry.data, entry.payload, self.dtype
        if self.format == "pcm16" and self.to_pcm is not None:
            values, dtype = self.to_pcm(values, dtype), "int16"
        frame: Frame | None = Frame(
            stream=self.number,
            item=data["item"],
            first_site=data["first_site"],
            count=data["count"],
            dtype=dtype,
            last=data["last"],
            values=values,
        )
        if frame is not None and self.next is not None:
            frame = frame.after(self.next[frame.item])
        return None if frame is None else frame.encode()

    def _message(self, kind: str, data: Mapping[str, Any]) -> str:
        ref = {} if self.ref is None else {"ref": self.ref}
        return json.dumps(
            {"type": kind, **ref, "job": self.job, "stream": self.number, **dict(data)}
        )


class Connection:
    """One socket's jobs."""

    def __init__(self) -> None:
        self._streams: dict[int, Stream] = {}
        self._numbered = 0

    def receive(self, message: str | bytes) -> Command:
        """What the client asks for. Raises a Problem, which `refuse` turns into a message."""
        if isinstance(message, bytes):
            detail = "binary messages are not read from clients; commands are JSON text"
            raise Problem(415, "Wrong type of message", detail, [("message", detail)])
        try:
            document = json.loads(message)
        except (ValueError, RecursionError) as error:
            raise Problem.of_field("message", f"is not JSON: {error}", 400) from error
        if not isinstance(document, dict):
            raise Problem.of_field("message", "is not a JSON object", 400)
        kinds = ("generate", "cancel", "pause", "unpause", "resume")
        if document.get("type") not in kinds:
            detail = f"{document.get('type')!r:.50} is unknown; {', '.join(kinds)} are known"
            raise Problem.of_field("type", detail, 400)
        try:
            return _COMMAND.validate_python(document)
        except ValidationError as error:
            raise _without_tag(of_validation(error), str(document["type"])) from error

    def refuse(self, problem: Problem, message: str | bytes = "") -> str:
        """The `error` message for something that did not become a job; echoes `ref` and `job`."""
        return json.dumps({"type": "error", **_echo(message), "error": problem.document()})

    def paused(self, command: Pause) -> str:
        """The answer to a pause, or to its end."""
        return json.dumps({"type": f"{command.type}d", "job": command.job})

    def require_room(self) -> None:
        """Raise a problem where the socket carries as many jobs as it may."""
        if len(self._streams) >= MOST_STREAMS:
            detail = f"{MOST_STREAMS} jobs run on this socket"
            raise Problem(429, "Too Many Requests", detail)

    def open(
        self,
        job: str,
        ref: str | None,
        format: Format = "codes",
        next: list[int] | None = None,
        to_pcm: Callable[[bytes, str], bytes] | None = None,
        tells: bool = False,
    ) -> Stream:
        """Number a job's stream."""
        self._numbered += 1
        stream = Stream(self._numbered, job, ref, format, next, to_pcm, tells)
        self._streams[stream.number] = stream
        return stream

    def close(self, stream: Stream) -> None:
        """The stream has ended, or nobody reads it."""
        self._streams.pop(stream.number, None)


def _without_tag(problem: Problem, tag: str) -> Problem:
    """Field names without the name of the message that pydantic puts before them."""
    prefix = f"{tag}."
    errors = [(field.removeprefix(prefix), message) for field, message in problem.errors]
    detail = "; ".join(f"{field}: {message}" for field, message in errors)
    return Problem(problem.status, problem.title, detail, errors)


def _echo(message: str | bytes) -> dict[str, str]:
    """`ref` and `job` of a message that may be anything."""
    try:
        document = json.loads(message)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(document, dict):
        return {}
    found = {name: document.get(name) for name in ("ref", "job")}
    return {name: text[:128] for name, text in found.items() if isinstance(text, str)}
