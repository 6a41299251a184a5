"""A sampling job on its way through a running batch, and what it publishes."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ancestral.broker import Delivery, Entry, Job, Publication
from ancestral.engine.model import Model
from ancestral.engine.request import SampleRequest
from ancestral.engine.sampling import bits_per_dim
from ancestral.engine.values import drawn_values, dtype_of, to_bytes
from ancestral.runtimes.base import Advance, SlotRequest

logger = logging.getLogger("ancestral.engine")


@dataclass(slots=True)
class Item:
    """One sequence: what has been published so far, which is what a replay needs.

    site     sites published
    scored   sites whose scores are known; fewer where another worker published them
    """

    index: int
    parts: list[npt.NDArray[Any]] = field(default_factory=list)
    nats: list[npt.NDArray[np.float64]] = field(default_factory=list)
    given: list[npt.NDArray[np.bool_]] = field(default_factory=list)
    site: int = 0
    scored: int = 0

    def adopt(self, values: npt.NDArray[Any]) -> None:
        """Take up sites [count, dims] that another worker has published."""
        self.parts.append(values)
        self.site += len(values)

    def gain(self, advance: Advance) -> Advance:
        """Take up an advance; what is new of it, less what a slot reports of its replay."""
        scores, news = _after(advance, self.scored), _after(advance, self.site)
        self.nats.append(scores.log_prob)
        self.given.append(scores.given)
        self.scored += len(scores.values)
        self.parts.append(news.values)
        self.site += len(news.values)
        return news

    def result(self) -> dict[str, Any]:
        """Scores of the finished item, in nats of the untempered model."""
        nats, given = np.concatenate(self.nats), np.concatenate(self.given)
        total = math.fsum(nats.flat)
        return {
            "item": self.index,
            "log_prob": total,
            "sampled_log_prob": math.fsum(nats[~given].flat),
            "bits_per_dim": float(bits_per_dim(total, nats.size)),
            "dimensions": nats.size,
        }


def _after(advance: Advance, site: int) -> Advance:
    """What an advance has from `site` on."""
    known = min(max(0, site - advance.first_site), len(advance.values))
    return replace(
        advance,
        first_site=advance.first_site + known,
        values=advance.values[known:],
        log_prob=advance.log_prob[known:],
        given=advance.given[known:],
    )


class Work:
    """One job: items that wait for a slot, run in one, or are done."""

    def __init__(self, model: Model, delivery: Delivery, arrival: int, now: float) -> None:
        self.job = delivery.job
        self.attempt = delivery.attempt
        self.arrival = arrival
        self.request = SampleRequest.from_json(self.job.request)
        self.running: dict[int, Item] = {}  # by slot
        self.results: list[dict[str, Any]] = []
        self.told = bool(delivery.published)  # whether clients know that it has started
        self.paused = False
        self.pulled = now
        self.started: float | None = None
        self.last_output: float | None = None
        self.sites_done = 0
        self.conditions = model.conditions_from(self.request.condition, self.request.count)
        self._first: SlotRequest = model.slot_request(
            seed=self.request.seed,
            item=self.request.first_item,
            sites=self.request.sites,
            sampling=self.request.sampling,
            prefix=self.request.prefix,
            known=self.request.known,
            order=self.request.order,
        )
        self._levels = model.data.levels
        self._model = model
        named = self.request.order or model.order_of(self.request.known, None, self.request.sites)
        self.mixture = bool(model.members) and named is None
        self.members = [
            model.member_of(named, self.request.seed, self.request.first_item + index)
            for index in range(self.request.count)
        ]
        self.waiting = deque(self._items(delivery.published, model.data.dims_per_site))

    def _items(self, published: Sequence[Entry], dims: int) -> list[Item]:
        """What is left to do after what earlier attempts have published."""
        items = {index: Item(index) for index in range(self.request.count)}
        for entry in published:
            if entry.event != "output":
                continue
            index = entry.data["item"]
            items[index].adopt(drawn_values(entry, dtype_of(self._levels), dims))
            self.sites_done += entry.data["count"]
            if entry.data["last"]:
                self.results.append(entry.data["result"])
                del items[index]
        return list(items.values())

    def slot_request(self, item: Item) -> SlotRequest:
        """The item's request; what it has published is replayed, so that it goes on from there."""
        rows = tuple(row[[item.index if len(row) > 1 else 0]] for row in self.conditions)
        return replace(
            self._first,
            item=self.request.first_item + item.index,
            conditions=rows,
            member=self.members[item.index],
            replay=np.concatenate(item.parts) if item.parts else None,
        )

    @property
    def done(self) -> bool:
        return len(self.results) == self.request.count

    def publication(
        self, event: str, data: Mapping[str, Any], payload: bytes = b"", exact: bytes = b""
    ) -> Publication:
        total = self.request.count * self.request.sites
        progress = {"sites_done": self.sites_done, "sites": total}
        return Publication(self.job.id, self.attempt, event, data, payload, exact, progress)

    def output(self, item: Item, news: Advance) -> Publication:
        """The new sites of an item, with its scores where they are its last."""
        self.sites_done += len(news.values)
        data: dict[str, Any] = {
            "item": item.index,
            "first_site": news.first_site,
            "count": len(news.values),
            "last": news.done,
            "log_prob": math.fsum(news.log_prob.flat),
        }
        if news.done:
            data["result"] = self.result(item)
            self.results.append(data["result"])
        payload = to_bytes(news.values, dtype_of(self._levels))
        exact = news.values.astype("<f8").tobytes() if self._levels is None else b""
        return self.publication("output", data, payload, exact)

    def result(self, item: Item) -> dict[str, Any]:
        """Scores of a finished item: the ensemble's, where it drew the item as a whole."""
        if self.mixture:
            values = np.concatenate(item.parts)
            whole = self._model.item_of(values, self.members[item.index])
            nats = self._model.mixture(whole, self.conditions, item.index)
            item = replace(item, nats=[nats])  # nothing is given: the order of sites is no matter
        return item.result()

    def finish(self, seconds: float) -> Publication:
        sites = self.request.count * self.request.sites
        data = {
            "items": sorted(self.results, key=lambda result: int(result["item"])),
            "seconds": seconds,
            "sites": sites,
            "sites_per_second": sites / max(seconds, 1e-9),
        }
        return self.publication("done", data)


def started(model: Model, work: Work, runtime: str) -> Publication:
    """What a client needs to know to read the values that follow."""
    request, data = work.request, model.data
    return work.publication(
        "started",
        {
            "model": model.label,
            "kind": data.kind,
            "shape": list(data.shape) or [request.sites],
            "levels": data.levels,
            "dtype": dtype_of(data.levels),
            "dims_per_site": data.dims_per_site,
            "sites": request.sites,
            "sample_rate": data.sample_rate,
            **told_order(model, work),
            "count": request.count,
            "first_item": request.first_item,
            "seed": json_seed(request.seed),
            "fingerprint": model.fingerprint,
            "runtime": runtime,
            "derived": model.derived,
            "notes": list(request.notes),
        },
    )


def told_order(model: Model, work: Work) -> dict[str, Any]:
    """The order of the values. One for all: its name, and the position of each rank unless raster.

    Where an ensemble draws every item under an order of its own, `item_orders` names them, and
    `permutations` holds each by name.
    """
    manifest, names = model.manifest, list(model.manifest.orders)
    if not names:
        ranks = manifest.permutation
        order = manifest.order if ranks is None else "permutation"
        return {"order": order, "permutation": None if ranks is None else list(ranks)}
    if not work.mixture:
        name = names[work.members[0]]
        return {"order": name, "permutation": list(manifest.orders[name])}
    used = [names[member] for member in work.members]
    return {
        "order": "ensemble",
        "permutation": None,
        "item_orders": used,
        "permutations": {name: list(manifest.orders[name]) for name in sorted(set(used))},
    }


def json_seed(seed: int) -> int | str:
    """A seed as JSON holds it without loss: a decimal string beyond 2**53 - 1."""
    return seed if seed < 2**53 else str(seed)


def failure(error: Exception) -> dict[str, Any]:
    """What a job's `failed` event says; its own fault is a 4xx, ours a 500."""
    if isinstance(error, ValueError | TypeError):
        found: dict[str, Any] = {
            "status": 422,
            "title": "The request does not fit the model",
            "detail": str(error),
        }
        name = getattr(error, "field", None)
        if name is not None:
            found["errors"] = [{"field": name, "message": str(error)}]
        return found
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return {"status": 503, "title": "Out of memory", "detail": "the item does not fit now"}
    return {"status": 500, "title": "The worker failed", "detail": type(error).__name__}


def log_fault(error: Exception, job: Job) -> None:
    """Tell the operator of an error that is not the request's fault."""
    if not isinstance(error, ValueError | TypeError):
        ids = {"job": job.id, "request_id": job.request_id}
        logger.error("job %s failed", job.id, exc_info=error, extra=ids)


def refusal(status: int, title: str, detail: str, fields: Sequence[str] = ()) -> dict[str, Any]:
    """A `failed` event that is nobody's exception."""
    errors = [{"field": name, "message": detail} for name in fields]
    return {"status": status, "title": title, "detail": detail, "errors": errors}
