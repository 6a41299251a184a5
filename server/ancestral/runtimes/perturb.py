"""Causality by trial, for what the compiler has no rule for: change a value, see what moves."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from ancestral.compile import CausalityError
from ancestral.models.data import ConditionSpec
from ancestral.models.network import Network
from ancestral.runtimes.derive import random_condition
from ancestral.stages import each

_SITES = 64  # of items of open length
_TRIALS = 64  # values changed, spread over the item
_MOVED = 1e-9  # of the params' scale, in float64: products of another order round by less


def prove_by_change(
    network: Network,
    conditions: Sequence[ConditionSpec] = (),
    order: npt.NDArray[np.int64] | None = None,
) -> None:
    """Raise CausalityError where params move with a value of their own or a later site.

    One random item, and as many values as are tried: evidence, where the compiler would prove.
    """
    data = network.data
    sites = data.sites() if data.shape else min(_SITES, network.longest or _SITES)
    double = copy.deepcopy(network).double().eval()
    generator = torch.Generator().manual_seed(0)
    shape = (1, sites, data.dims_per_site)
    if data.levels is None:
        values = torch.randn(shape, generator=generator, dtype=torch.float64)
    else:
        values = torch.randint(data.levels, shape, generator=generator)
    given = [random_condition(spec, network, sites) for spec in conditions]
    positions = np.arange(sites) if order is None else order
    base = _params(double, values, given)
    scale = max(float(base.abs().max()), 1e-30)
    ranks = np.unique(np.linspace(0, sites - 1, min(_TRIALS, sites)).astype(int))
    for rank in each("trying", "sites", ranks.tolist()):
        for channel in range(data.dims_per_site):
            changed = values.clone()
            at = int(positions[rank])
            old = changed[0, at, channel]
            changed[0, at, channel] = (old + 1) % data.levels if data.levels else old + 1.0
            moved = (_params(double, changed, given) - base).abs().amax(-1) > _MOVED * scale
            _check(moved, positions, rank, channel, network.vectors_per_site)


def _params(
    network: Network, values: torch.Tensor, conditions: Sequence[torch.Tensor]
) -> torch.Tensor:
    """[S, D, P] in position order."""
    with torch.inference_mode():
        found: torch.Tensor = network(network.data.from_sites(values), *conditions)
    return found.reshape(values.shape[1], *found.shape[-2:])


def _check(
    moved: torch.Tensor, positions: npt.NDArray[np.int64], rank: int, channel: int, vectors: int
) -> None:
    """`moved` [S, D] by position: allowed are later sites, and later channels of the same."""
    early = moved[torch.from_numpy(positions)][: rank + 1].clone()
    if vectors > 1:
        early[rank, channel + 1 :] = False
    if bool(early.any()):
        site = int(early.any(1).nonzero()[0])
        raise CausalityError(
            f"not causal: the params of site {site} change with the value at site {rank}", []
        )
