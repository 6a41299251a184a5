"""Score finished items: one teacher-forced pass, the likelihood summed in float64.

Memory is bounded: a batch is cut into passes, a long item into windows (`runtimes.long_items`), and
the likelihood into runs of sites. How much a pass takes is measured on a small one. Between passes
the work can pause (`parts`), so that others have their turn.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from ancestral.likelihoods.entropy import entropy
from ancestral.models.data import ConditionSpec, whole_frames
from ancestral.models.network import Network
from ancestral.runtimes.appetite import peak_bytes
from ancestral.runtimes.derive import random_condition
from ancestral.runtimes.ensemble import EnsembleScorer
from ancestral.runtimes.long_items import LongItems, Parts, run_through, windowed

MEASURED_SITES = 256  # of an item of open length whose pass is measured
MAX_BATCH = 256  # beyond it a pass gains nothing
PASS_BYTES = 512 << 20  # of activations in one pass
LIKELIHOOD_BYTES = 64 << 20  # float64 working set of the likelihood, of which it holds about four

Measure = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # [.., D, P], [.., C] -> [.., C]


class Scorer:
    """log p(x) per dimension, in position order (raster, time), whatever the order of generation.

    `order` (rank -> position) matters to `marginal` alone, whose map is cumulative over it.
    """

    def __init__(
        self,
        network: Network,
        conditions: Sequence[ConditionSpec] = (),
        *,
        order: npt.NDArray[np.int64] | None = None,
        device: torch.device | str = "cpu",
        long_items: LongItems | None = None,
    ) -> None:
        self._long_items = long_items
        self._measured: tuple[int, int, int] | None = None  # sites, bytes of half of them, bytes
        if torch.device(device).type != "cpu":  # others read the network where it is
            network = copy.deepcopy(network).to(device)
        self._network = network.eval()
        self._specs = tuple(conditions)
        self._order = None if order is None else torch.from_numpy(order)
        self._device = torch.device(device)

    def prepare(self) -> None:
        """Whatever the first score would have to wait for."""

    def per_dim(self, codes: torch.Tensor, conditions: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        """Nats of every dimension, [B, S, C] float64 on the CPU.

        codes: [B, *shape] in data units; conditions: each with B rows, or one row for all.
        """
        return run_through(self.parts(codes, conditions))

    def parts(self, codes: torch.Tensor, conditions: Sequence[torch.Tensor] = ()) -> Parts:
        """The same with pauses."""
        return self._parts(codes, conditions, None)

    def entropy(self, codes: torch.Tensor, conditions: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        """Nats of entropy of every dimension given those before it, [B, S, C] as `per_dim`."""
        network = self._network

        def measure(params: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
            return entropy(network.likelihood, params, values, network.data.levels)

        return run_through(self._parts(codes, conditions, measure))

    def _parts(
        self, codes: torch.Tensor, conditions: Sequence[torch.Tensor], measure: Measure | None
    ) -> Parts:
        """What `measure` says of the params and values: log p where there is none."""
        batch = len(codes)
        if batch == 0:
            raise ValueError("there is nothing to score: the batch is empty")
        for condition in conditions:
            if len(condition) not in (1, batch):
                raise ValueError(f"{batch} items, but a condition has {len(condition)} rows")
        values = self._network.data.to_sites(codes)
        each = self._item_bytes(values.shape[1], conditions)
        chunk = max(1, min(MAX_BATCH, PASS_BYTES // each))
        passes = []
        for first in range(0, batch, chunk):
            rows = slice(first, first + chunk)
            some = [c.expand(batch, *c.shape[1:])[rows] for c in conditions]
            if each > PASS_BYTES and not self._network.data.shape:
                passes.append((yield from self._long(codes[rows], values[rows], some, measure)))
            else:
                passes.append(self._one_pass(codes[rows], values[rows], some, measure))
            if first + chunk < batch:
                yield
        return torch.cat(passes)

    def _long(
        self,
        codes: torch.Tensor,
        values: torch.Tensor,
        conditions: Sequence[torch.Tensor],
        measure: Measure | None,
    ) -> Parts:
        """One item that is too long for a pass, in the way that its program allows."""
        long_items = self._long_items
        if long_items is None or not long_items.derived:
            return self._one_pass(codes, values, conditions, measure)
        overlap = long_items.reach
        size = 0 if overlap is None else self._fitting() - overlap
        if overlap is None or size < overlap:  # shorter windows would mostly overlap
            if measure is None:
                return (yield from long_items.stepped(values, conditions))
            return self._one_pass(codes, values, conditions, measure)

        def run(sites: slice) -> torch.Tensor:
            return self._one_pass(codes[:, sites], values[:, sites], conditions, measure)

        return (yield from windowed(run, values.shape[1], size, overlap))

    def _item_bytes(self, sites: int, conditions: Sequence[torch.Tensor]) -> int:
        """Memory of a pass over one item, by one of a short item where it may be of any length."""
        open_ended = not self._network.data.shape
        if self._measured is None:
            small = min(sites, MEASURED_SITES) if open_ended else sites
            half = max(1, small // 2) if open_ended else sites
            taken = [self._measure(length, conditions) for length in (half, small)]
            self._measured = (small, taken[0], taken[1])
        small, _, most = self._measured
        return max(1, math.ceil(most * math.pow(sites / small, self._power)))

    @property
    def _power(self) -> float:
        """Of the length that memory grows by: 1 for convolutions, up to 2 for attention."""
        assert self._measured is not None
        _, half, whole = self._measured
        return max(1.0, math.log2(max(whole, 1) / max(half, 1)))

    def _fitting(self) -> int:
        """The longest item that one pass has memory for."""
        assert self._measured is not None
        small, _, most = self._measured
        return math.floor(small * math.pow(PASS_BYTES / most, 1 / self._power))

    def _measure(self, sites: int, conditions: Sequence[torch.Tensor]) -> int:
        network = self._network
        kind = torch.int64 if network.likelihood.discrete else torch.float32
        codes = torch.zeros((1, *(network.data.shape or (sites,))), dtype=kind)
        rows = [row[:1] for row in conditions]
        for i, spec in enumerate(self._specs):
            if spec.kind == "series":  # as long as the item
                rows[i] = random_condition(spec, network, sites).float()
        values = network.data.to_sites(codes)
        return peak_bytes(lambda: self._one_pass(codes, values, rows, None))

    def _one_pass(
        self,
        codes: torch.Tensor,
        values: torch.Tensor,
        conditions: Sequence[torch.Tensor],
        measure: Measure | None,
    ) -> torch.Tensor:
        network, device = self._network, self._device
        measure = measure or network.likelihood.log_prob
        with torch.inference_mode():
            beyond = 0  # sites after the end that the last value of a series reaches
            if not network.data.shape:
                beyond = whole_frames(values.shape[1], self._specs) - values.shape[1]
                codes = F.pad(codes, (0, beyond))
            params = self._params(codes.to(device), [c.to(device) for c in conditions])
            params = params[:, : values.shape[1]] if beyond else params
            params = params.reshape(*values.shape[:2], *params.shape[-2:])  # [B, S, D, P]
            values = values.to(device)
            site_bytes = 4 * 8 * params[:, 0].numel()
            run = max(1, LIKELIHOOD_BYTES // site_bytes)
            runs = [
                measure(params[:, first : first + run].double(), values[:, first : first + run])
                for first in range(0, values.shape[1], run)
            ]
        return torch.cat(runs, dim=1).double().cpu()

    def _params(self, codes: torch.Tensor, conditions: Sequence[torch.Tensor]) -> torch.Tensor:
        """One teacher-forced pass."""
        params: torch.Tensor = self._network(codes, *conditions)
        return params

    def marginal(
        self, codes: torch.Tensor, conditions: Sequence[torch.Tensor | None] = ()
    ) -> torch.Tensor:
        """Nats with the labels given as None summed out under their prior: [B, S, C] float64.

        Raises ValueError where a missing condition is not a label.
        """
        return run_through(self.marginal_parts(codes, conditions))

    def marginal_parts(
        self, codes: torch.Tensor, conditions: Sequence[torch.Tensor | None] = ()
    ) -> Parts:
        """The same with pauses.

        The map is the chain rule of the mixture: in generation order, the difference of
        logsumexp_k(log π_k + cumulative log p_k). Its sum is log Σ_k π_k p(x | k).
        """
        missing = [i for i, condition in enumerate(conditions) if condition is None]
        for i in missing:
            if self._specs[i].kind != "label":
                raise ValueError(
                    f"condition {self._specs[i].name} is a {self._specs[i].kind}: "
                    "only labels can be summed out"
                )
        priors = [label_prior(self._specs[i]) for i in missing]
        mixture: torch.Tensor | None = None
        for labels in itertools.product(*(range(len(prior)) for prior in priors)):
            weight = math.prod(float(prior[k]) for prior, k in zip(priors, labels, strict=True))
            if weight == 0:
                continue
            chosen = dict(zip(missing, labels, strict=True))
            full = [
                torch.tensor([chosen[i]]) if condition is None else condition
                for i, condition in enumerate(conditions)
            ]
            if mixture is not None:
                yield
            nats = self._by_rank((yield from self.parts(codes, full)))
            cumulative = math.log(weight) + nats.flatten(1).cumsum(1)
            mixture = cumulative if mixture is None else torch.logaddexp(mixture, cumulative)
        if mixture is None:
            raise ValueError("the prior of the labels is zero everywhere")
        steps = torch.diff(mixture, prepend=torch.zeros(len(mixture), 1, dtype=mixture.dtype))
        return self._by_position(steps.reshape(nats.shape))

    def _by_rank(self, nats: torch.Tensor) -> torch.Tensor:
        return nats if self._order is None else nats[:, self._order]

    def _by_position(self, nats: torch.Tensor) -> torch.Tensor:
        return nats if self._order is None else nats[:, self._order.argsort()]


def scorer_of(
    network: Network,
    conditions: Sequence[ConditionSpec] = (),
    order: npt.NDArray[np.int64] | None = None,
    long_items: LongItems | None = None,
    device: torch.device | str = "cpu",
) -> Scorer | EnsembleScorer:
    """What scores a network: alone, or as the mean of the likelihoods under its orders."""
    if not network.orders:
        return Scorer(network, conditions, order=order, device=device, long_items=long_items)
    return EnsembleScorer(
        [
            Scorer(network.for_order(name), conditions, order=positions, device=device)
            for name, positions in network.orders.items()
        ]
    )


def label_prior(spec: ConditionSpec) -> npt.NDArray[np.float64]:
    """The label's prior, summing to one; uniform where the manifest names none."""
    if spec.prior is None:
        if spec.classes is None:
            raise ValueError(f"condition {spec.name} has no classes")
        return np.full(spec.classes, 1 / spec.classes)
    prior = np.array(spec.prior, dtype=np.float64)
    prior /= prior.sum()
    return prior
