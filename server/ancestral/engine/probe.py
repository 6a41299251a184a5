"""A sampler as its users see it: items drawn alone, in company, again, and from where they were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from ancestral.engine.model import Model
from ancestral.engine.parity import (
    Drawn,
    finish,
    first_conditions,
    forward_params,
    random_values,
)
from ancestral.engine.runtimes import RuntimeKind
from ancestral.runtimes.base import Sampling, SlotRequest, Values

FLOAT64_LIMIT = 1e-10  # of the params' scale
FLOAT32_LIMIT = 1e-4
FLOAT32_KINDS = ("native", "cuda", "onnx")
HOT = 100.0  # temperature at which draws are about even
NAIVE_SITES = 16  # drawn by the naive runtime, behind a known prefix: each costs a forward pass


@dataclass(frozen=True, slots=True)
class Check:
    """One invariant's verdict; `value` is what was measured against `limit`."""

    name: str
    ok: bool
    value: float | None = None
    limit: float | None = None
    detail: str = ""


class Probe:
    """Draws items in several company; the naive runtime draws the last sites of each only."""

    def __init__(self, model: Model, kind: RuntimeKind, sites: int) -> None:
        self.model = model
        self.kind = model.stands_in(kind) if kind in FLOAT32_KINDS else kind
        self.sites = sites
        self.naive = kind == "naive" or not model.derived
        drawn = min(NAIVE_SITES, sites) if self.naive else sites
        self.known = random_values(model, sites)
        self.mask = np.zeros(self.known.shape, dtype=np.bool_)
        self.mask[: sites - drawn] = True

    def checks(self) -> Iterator[Check]:
        alone = self.alone(self.request(seed=1, item=1))
        yield from self.one_likelihood(alone)
        yield self.neighbours(alone)
        yield self.seeds(alone)
        yield self.resumption(alone)

    def request(self, seed: int, item: int) -> SlotRequest:
        return SlotRequest(
            seed=seed,
            item=item,
            sites=self.sites,
            conditions=first_conditions(self.model, self.sites),
            known=self.known,
            known_mask=self.mask,
        )

    def alone(self, request: SlotRequest) -> Drawn:
        runtime = self.model.new_runtime(1, self.kind)
        return finish(runtime, runtime.open(request), self.sites)

    def _nats_limit(self, nats: npt.NDArray[np.float64]) -> float:
        """By the precision that the runtime computes in."""
        limit = FLOAT32_LIMIT if self.kind in FLOAT32_KINDS else FLOAT64_LIMIT
        return limit * max(1.0, float(np.abs(nats).max()))

    def one_likelihood(self, alone: Drawn) -> Iterator[Check]:
        model = self.model
        exact = model.likelihood.log_prob(
            forward_params(model, alone.values, torch.float64), torch.from_numpy(alone.values)
        )
        error = float(np.abs(alone.log_prob - exact.numpy()).max())
        limit = self._nats_limit(exact.numpy())
        yield Check(
            "one likelihood, by site", error <= limit, error, limit, "nats; forward in float64"
        )
        item = torch.from_numpy(model.item_of(alone.values))[None]
        if model.data.levels is None:
            item = item.float()
        scored = float(model.scorer.per_dim(item, first_conditions(model, self.sites)).sum())
        error = abs(float(alone.log_prob.sum()) - scored) / max(1.0, abs(scored))
        yield Check(
            "one likelihood, total", error <= FLOAT32_LIMIT, error, FLOAT32_LIMIT, "of the score"
        )

    def neighbours(self, alone: Drawn) -> Check:
        """The item again, joining late between two others, one of which leaves early."""
        runtime = self.model.new_runtime(3, self.kind)
        early = runtime.open(self.request(seed=1, item=0))
        runtime.step(2 if self.naive else runtime.phase_sites + 1)
        slot = runtime.open(self.request(seed=1, item=1))
        runtime.open(self.request(seed=2, item=0))
        seen = list(runtime.step(3))
        runtime.close(early)
        among = finish(runtime, slot, self.sites, [a for a in seen if a.slot == slot])
        differing = _differing(among.values, alone.values)
        error = float(np.abs(among.log_prob - alone.log_prob).max())
        limit = self._nats_limit(alone.log_prob)
        return Check(
            "neighbour independence",
            differing == 0 and error <= limit,
            error,
            limit,
            f"{differing} values differ; nats",
        )

    def seeds(self, alone: Drawn) -> Check:
        """The same request again, and another seed; that one at a temperature at which a model
        that is sure of its values (the blank border of a digit) draws different ones, too."""
        again = self.alone(self.request(seed=1, item=1))
        hot = Sampling(temperature=HOT)
        one, other = (
            self.alone(replace(self.request(seed, item=1), sampling=hot)) for seed in (1, 7)
        )
        same = bool((again.values == alone.values).all()) and bool(
            (again.log_prob == alone.log_prob).all()
        )
        differs = bool((other.values != one.values).any())
        return Check(
            "seeds",
            same and differs,
            detail=f"{'bit-exact' if same else 'not bit-exact'} again, "
            f"another seed {'differs' if differs else 'does not differ'}",
        )

    def resumption(self, alone: Drawn) -> Check:
        """The item again, its first part given as a prefix, or replayed."""
        drawn = int((~self.mask).any(axis=1).sum())
        met = self.sites - drawn + drawn // 2
        mask = np.zeros_like(self.mask)
        mask[:met] = True
        request = self.request(seed=1, item=1)
        given = self.alone(replace(request, known=alone.values, known_mask=mask))
        replayed = self.alone(replace(request, replay=alone.values[:met]))
        near = FLOAT32_LIMIT if self.kind in FLOAT32_KINDS else FLOAT64_LIMIT
        differing = _differing(given.values, alone.values, near)
        exact = bool((replayed.values == alone.values).all()) and bool(
            (replayed.log_prob == alone.log_prob).all()
        )
        error = float(np.abs(given.log_prob - alone.log_prob).max())
        limit = self._nats_limit(alone.log_prob)
        return Check(
            "prefix and replay",
            differing == 0 and error <= limit and exact,
            error,
            limit,
            f"{differing} values differ behind a prefix of {met} sites; "
            f"replay is {'bit-exact' if exact else 'not bit-exact'}",
        )


def _differing(found: Values, wanted: Values, limit: float = FLOAT64_LIMIT) -> int:
    """Codes that are not the same; real values further apart than rounding explains."""
    if wanted.dtype.kind != "f":
        return int((found != wanted).sum())
    return int((~np.isclose(found, wanted, rtol=limit, atol=limit)).sum())
