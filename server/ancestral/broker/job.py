"""What travels: jobs, the entries of their result streams, and what workers say of themselves.

Everything here is JSON beside one binary payload, so that a job fits into a Redis stream entry.
Times are seconds since the epoch: monotonic clocks are never compared across processes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Literal

Lane = Literal["sample", "score", "control"]
PRIORITIES = (1, 2, 3)  # 1 is served first


class State(StrEnum):
    """Where a job stands. The last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELED = "canceled"


TERMINAL = frozenset({State.DONE, State.FAILED, State.CANCELED})


@dataclass(frozen=True, slots=True)
class Job:
    """One request for a worker.

    model         NAME/VERSION: the queue it waits in; control jobs wait in one queue for all
    request       what to do, as JSON; `payload` holds the arrays that would be wasteful there
    output_bytes  the most that its result stream can hold: admission sums it
    timeout       seconds it may wait before a worker starts it; None: for ever
    digest        of the request, to tell a repeated one from another under the same id
    sites         that it asks to draw or to score, items together
    owner         id of the key that asked; empty where nobody is asked for one
    request_id    of the HTTP request, for logs
    traceparent   of the HTTP request's span (W3C Trace Context), where requests are traced
    """

    id: str
    model: str
    lane: Lane
    request: Mapping[str, Any]
    payload: bytes = b""
    items: int = 1
    priority: int = 2
    timeout: float | None = None
    output_bytes: int = 0
    digest: str = ""
    sites: int = 0
    owner: str = ""
    request_id: str = ""
    traceparent: str = ""
    submitted: float = field(default_factory=time.time)

    def to_json(self) -> str:
        """Everything but the payload."""
        names = (name for name in self.__slots__ if name != "payload")
        return json.dumps({name: getattr(self, name) for name in names})

    @classmethod
    def from_json(cls, text: str | bytes, payload: bytes = b"") -> Job:
        """What `to_json` wrote, also by a process of a later version."""
        known = {name: v for name, v in json.loads(text).items() if name in cls.__slots__}
        return cls(**known, payload=payload)

    @property
    def bytes_held(self) -> int:
        """What the job can come to hold in the broker: numbers in lists take 8 times their text."""
        return len(self.payload) + self.output_bytes + 8 * len(json.dumps(self.request))

    @property
    def deadline(self) -> float | None:
        """When it gives up waiting, seconds since the epoch."""
        return None if self.timeout is None else self.submitted + self.timeout


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a job's result stream; `id` is the cursor after which a reader resumes.

    Events are started, output, and a final one: done, failed or canceled. `exact` is for replays
    alone: real values as they were drawn, float64, where the payload has them as float32.
    """

    id: str
    event: str
    data: Mapping[str, Any]
    payload: bytes = b""
    exact: bytes = b""

    @property
    def final(self) -> bool:
        return self.event in TERMINAL


@dataclass(frozen=True, slots=True)
class Status:
    """What the broker knows of a job besides its stream.

    error   why its last worker did not finish it, where that was so
    last    the final entry, once it has ended
    """

    job: Job
    state: State
    attempt: int
    progress: Mapping[str, Any]
    ahead: int  # jobs that wait before it; 0 once it runs
    cancel_requested: bool
    paused: bool = False
    error: str | None = None
    last: Entry | None = None


@dataclass(frozen=True, slots=True)
class ModelReport:
    """One model as its worker holds it.

    One that is `leaving` finishes its jobs, and gets no more; one `on_demand` is loaded for whoever
    asks.
    """

    state: Literal["loading", "ready", "on_demand", "leaving", "failed"]
    error: str | None = None
    derived: bool | None = None  # whether sampling runs a derived step program
    runtime: str | None = None
    fingerprint: str | None = None
    slots_total: int = 0
    slots_in_use: int = 0
    bytes: int = 0  # of weights and of the caches of all slots


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """A worker's heartbeat: `steps` counts its turns, and must advance while it is well.

    `serves` are the names it may be asked to load, all of its store where there are none.
    """

    worker: str
    steps: int
    models: Mapping[str, ModelReport]
    serves: tuple[str, ...] = ()

    def to_json(self) -> str:
        models = {label: asdict(report) for label, report in self.models.items()}
        return json.dumps(
            {"worker": self.worker, "steps": self.steps, "models": models, "serves": self.serves}
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> WorkerReport:
        found = json.loads(text)
        models = {label: ModelReport(**report) for label, report in found["models"].items()}
        return cls(found["worker"], found["steps"], models, tuple(found["serves"]))


class QueueFull(Exception):
    """No room: `retry_after` seconds is the depth over the recent rate."""

    def __init__(self, depth: int, retry_after: float, reason: str = "queue") -> None:
        self.depth = depth
        self.retry_after = retry_after
        self.reason = reason
        super().__init__(f"{reason} is full: {depth} jobs wait")


class JobExists(Exception):
    """Another request has this id."""


class JobUnknown(KeyError):
    """No job has this id, or it has expired."""


class BrokerUnavailable(Exception):
    """The broker does not answer; what was asked may or may not have been done."""
