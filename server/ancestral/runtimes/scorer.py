"""Score finished items: one teacher-forced pass, the likelihood summed in float64."""

from __future__ import annotations

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
from ancestral.runtimes.ensemble import EnsembleScorer

MAX_BATCH = 256  # beyond it a pass gains nothing
PARAMS_BYTES = 256 << 20  # float32 parameters held of one pass
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
    ) -> None:
        self._network = network.to(device).eval()
        self._specs = tuple(conditions)
        self._order = None if order is None else torch.from_numpy(order)
        self._device = torch.device(device)

    def per_dim(self, codes: torch.Tensor, conditions: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        """Nats of every dimension, [B, S, C] float64 on the CPU.

        codes: [B, *shape] in data units; conditions: each with B rows, or one row for all.
        Memory is bounded: the batch is cut into passes, and their parameters into runs of sites.
        """
        return self._measured(codes, conditions, self._network.likelihood.log_prob)

    def entropy(self, codes: torch.Tensor, conditions: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        """Nats of entropy of every dimension given those before it, [B, S, C] as `per_dim`."""
        network = self._network

        def measure(params: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
            return entropy(network.likelihood, params, values, network.data.levels)

        return self._measured(codes, conditions, measure)

    def _measured(
        self, codes: torch.Tensor, conditions: Sequence[torch.Tensor], measure: Measure
    ) -> torch.Tensor:
        batch = len(codes)
        if batch == 0:
            raise ValueError("there is nothing to score: the batch is empty")
        for condition in conditions:
            if len(condition) not in (1, batch):
                raise ValueError(f"{batch} items, but a condition has {len(condition)} rows")
        values = self._network.data.to_sites(codes)
        sites, dims = values.shape[1:]
        likelihood = self._network.likelihood
        vectors = 1 if likelihood.joint else dims
        item_bytes = 4 * sites * vectors * likelihood.n_params
        chunk = max(1, min(MAX_BATCH, PARAMS_BYTES // item_bytes))
        passes = []
        for first in range(0, batch, chunk):
            rows = slice(first, first + chunk)
            some = [c.expand(batch, *c.shape[1:])[rows] for c in conditions]
            passes.append(self._one_pass(codes[rows], values[rows], some, measure))
        return torch.cat(passes)

    def _one_pass(
        self,
        codes: torch.Tensor,
        values: torch.Tensor,
        conditions: Sequence[torch.Tensor],
        measure: Measure,
    ) -> torch.Tensor:
        network, device = self._network, self._device
        with torch.inference_mode():
            beyond = 0  # sites after the end that the last value of a series reaches
            if not network.data.shape:
                beyond = whole_frames(values.shape[1], self._specs) - values.shape[1]
                codes = F.pad(codes, (0, beyond))
            params = network(codes.to(device), *(c.to(device) for c in conditions))
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

    def marginal(
        self, codes: torch.Tensor, conditions: Sequence[torch.Tensor | None] = ()
    ) -> torch.Tensor:
        """Nats with the labels given as None summed out under their prior: [B, S, C] float64.

        The map is the chain rule of the mixture: in generation order, the difference of
        logsumexp_k(log π_k + cumulative log p_k). Its sum is log Σ_k π_k p(x | k).
        Raises ValueError where a missing condition is not a label.
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
            nats = self._by_rank(self.per_dim(codes, full))
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
) -> Scorer | EnsembleScorer:
    """What scores a network: alone, or as the mean of the likelihoods under its orders."""
    if not network.orders:
        return Scorer(network, conditions, order=order)
    return EnsembleScorer(
        [
            Scorer(network.for_order(name), conditions, order=positions)
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
