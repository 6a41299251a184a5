"""What the server answers, as frozen data classes; `raw` keeps what they leave out."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ancestral_client.errors import ItemError, JobPending, ProblemError, problem

Array = npt.NDArray[Any]
State = Literal["queued", "running", "done", "failed", "canceled"]


@dataclass(frozen=True, slots=True)
class Model:
    """A model package as `GET /models` shows it.

    kind      image, audio, vector or sequence
    shape     of an item; of open-ended kinds, [1] or the like, and `sites` is None
    levels    codes are 0 … levels − 1; None: real values
    state     unloaded, on_demand, loading, ready, leaving or failed
    """

    name: str
    version: int
    state: str
    family: str
    kind: str
    shape: tuple[int, ...]
    levels: int | None
    sites: int | None
    sample_rate: int | None
    conditions: tuple[Mapping[str, Any], ...]
    reference_n: int
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Model:
        plain = ("name", "version", "state", "family", "kind", "levels", "sites", "sample_rate")
        return cls(
            **{name: answer[name] for name in plain},
            shape=tuple(answer["shape"]),
            conditions=tuple(answer["conditions"]),
            reference_n=answer["reference_n"],
            raw=answer,
        )

    @property
    def text(self) -> bool:
        """Whether items are text."""
        return (self.raw.get("codec") or {}).get("kind") == "text"


@dataclass(frozen=True, slots=True)
class Score:
    """One item's score; nats, of the untempered model, in data units.

    percentile    0–100: share of `reference_n` held-out items that score lower; low is anomalous
    per_dim       nats, shaped like the item, where asked for
    heat_map      PNG of the surprise, where asked for
    data          the item as it was scored, where asked for
    fit           the steps that `fit` took
    error         why there is no score
    """

    index: int
    log_prob: float | None = None
    bits_per_dim: float | None = None
    dimensions: int | None = None
    percentile: float | None = None
    reference_n: int | None = None
    marginalised: bool | None = None
    per_dim: Array | None = field(default=None, compare=False)
    heat_map: bytes | None = field(default=None, repr=False)
    data: Array | None = field(default=None, compare=False)
    fit: tuple[str, ...] = ()
    error: ItemError | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Embedding:
    """One item's representation, float64 [width]."""

    index: int
    embedding: Array | None = field(default=None, compare=False)
    fit: tuple[str, ...] = ()
    error: ItemError | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Sample:
    """One drawn item: `data` are codes (or real values) shaped like an item.

    log_prob            nats of all sites under the untempered model
    sampled_log_prob    nats of those that were not given
    """

    item: int
    data: Array = field(compare=False)
    log_prob: float
    sampled_log_prob: float
    bits_per_dim: float
    dimensions: int
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Samples(Sequence[Sample]):
    """The items of one request. The same seed, fingerprint and request draw them again."""

    job: str
    model: str
    seed: int
    first_item: int
    fingerprint: str
    seconds: float
    sites_per_second: float
    notes: tuple[str, ...]
    items: tuple[Sample, ...]

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Samples:
        plain = ("job", "model", "first_item", "fingerprint", "seconds", "sites_per_second")
        items = [{**item, "data": np.asarray(item["data"])} for item in answer["items"]]
        return cls(
            **{name: answer[name] for name in plain},
            seed=int(answer["seed"]),
            notes=tuple(answer["notes"]),
            items=tuple(Sample(**item) for item in items),
        )

    @property
    def data(self) -> Array:
        """All items, [count, …]."""
        return np.stack([item.data for item in self.items])

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class Job:
    """How a job stands.

    ahead         jobs that wait before it
    sites_done    of `sites`, where it draws
    last_error    why the last worker did not finish it
    """

    id: str
    state: State
    model: str
    ahead: int = 0
    sites_done: int = 0
    sites: int = 0
    attempt: int = 0
    last_error: str | None = None
    error: ProblemError | None = None

    @classmethod
    def of(cls, id: str, answer: Mapping[str, Any]) -> Job:
        """From what `GET /jobs/{id}` says: a finished one answers with its result instead."""
        if "state" not in answer:
            return cls(id=id, state="done", model=answer["model"])
        progress = answer["progress"]
        return cls(
            id=id,
            state=answer["state"],
            model=answer["model"],
            ahead=answer["ahead"],
            sites_done=progress.get("sites_done", 0),
            sites=progress.get("sites", 0),
            attempt=answer["attempt"],
            last_error=answer.get("last_error"),
            error=problem(answer["error"]) if "error" in answer else None,
        )

    @property
    def ended(self) -> bool:
        return self.state in ("done", "failed", "canceled")


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """The answer to one line of a batch: `body` is what a POST to the line's url would give."""

    custom_id: str
    status: int
    body: Mapping[str, Any]

    def samples(self) -> Samples:
        """A `/sample` line's. Raises the line's ProblemError."""
        return Samples.of(self._body())

    def scores(self) -> list[Score]:
        """A `/log_prob` line's. Raises the line's ProblemError."""
        return scores(self._body())

    def embeddings(self) -> list[Embedding]:
        """An `/embed` line's. Raises the line's ProblemError."""
        return embeddings(self._body())

    def _body(self) -> Mapping[str, Any]:
        if self.status != 200:
            raise problem(self.body)
        return self.body


def scores(answer: Mapping[str, Any], first: int = 0) -> list[Score]:
    """The items of `POST /log_prob`, numbered from `first`."""
    return [_score(result, first + result["index"]) for result in answer["results"]]


def _score(result: Mapping[str, Any], index: int) -> Score:
    if "error" in result:
        return Score(index, error=ItemError.of(index, result["error"]))
    from_json = {name: value for name, value in result.items() if name in Score.__slots__}
    from_json.update(index=index, fit=tuple(result.get("fit", ())))
    if "per_dim" in result:
        from_json["per_dim"] = np.asarray(result["per_dim"], dtype=np.float64)
    if "data" in result:
        from_json["data"] = np.asarray(result["data"])
    if "heat_map" in result:
        from_json["heat_map"] = b64decode(result["heat_map"])
    return Score(**from_json)


def embeddings(answer: Mapping[str, Any], first: int = 0) -> list[Embedding]:
    """The items of `POST /embed`, numbered from `first`."""
    found = []
    for result in answer["results"]:
        index = first + result["index"]
        if "error" in result:
            found.append(Embedding(index, error=ItemError.of(index, result["error"])))
        else:
            vector = np.asarray(result["embedding"], dtype=np.float64)
            found.append(Embedding(index, vector, tuple(result.get("fit", ()))))
    return found


def result(answer: Mapping[str, Any]) -> Samples | list[Score] | list[Embedding]:
    """What a finished job answers with. Raises JobPending for one that has not finished."""
    if "items" in answer:
        return Samples.of(answer)
    if "results" not in answer:
        raise JobPending(f"the job is {answer.get('state')}")
    return embeddings(answer) if "layer" in answer else scores(answer)
