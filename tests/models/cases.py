"""Small networks of every family, and what depends on what in them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ancestral.likelihoods import from_config
from ancestral.models import ConditionSpec, DataSpec, Network, build

LABEL = ConditionSpec(name="label", kind="label", classes=3)
ROUNDING = 1e-10  # products of another batch size may round differently
SERIES = ConditionSpec(name="mel", kind="series", channels=2)


def network(
    family: str,
    data: DataSpec,
    likelihood: dict[str, Any],
    *conditions: ConditionSpec,
    encoding: Any = None,
    **hyperparameters: Any,
) -> Network:
    """A float64 network whose weights are large enough that nothing is nearly independent."""
    torch.manual_seed(5)
    built = build(
        family, hyperparameters, data, from_config(likelihood), conditions, encoding=encoding
    )
    built = built.double().eval()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.5)
    return built


def dependencies(net: Network, sites: int, *conditions: torch.Tensor) -> npt.NDArray[np.bool_]:
    """[S·C, S·C]: row i column j is true where parameters of dimension i change with value j.

    Dimensions count sites and, within a site, its channels. Found by changing one value at a time.
    """
    data, levels = net.data, net.data.levels or 2
    dims = data.dims_per_site
    generator = torch.Generator().manual_seed(3)
    values = torch.randint(0, levels, (1, sites, dims), generator=generator)
    changed = values.repeat(sites * dims, 1, 1)
    for number, (site, dim) in enumerate(itertools.product(range(sites), range(dims))):
        changed[number, site, dim] = (values[0, site, dim] + 1) % levels
    rows = [c.repeat_interleave(sites * dims, 0) for c in conditions]
    with torch.no_grad():
        base = net(data.from_sites(values), *conditions).reshape(1, sites * dims, -1)
        other = net(data.from_sites(changed), *rows).reshape(sites * dims, sites * dims, -1)
    found: npt.NDArray[np.bool_] = ((other - base).abs().amax(-1) > ROUNDING).numpy().T
    return found


def total_probability(net: Network, sites: int, *conditions: torch.Tensor) -> float:
    """The sum of the probabilities of every item there is."""
    count = sites * net.data.dims_per_site
    everything = itertools.product(range(net.data.levels or 2), repeat=count)
    values = torch.tensor(list(everything)).reshape(-1, sites, net.data.dims_per_site)
    rows = [c.expand(len(values), *c.shape[1:]) for c in conditions]
    with torch.no_grad():
        params = net(net.data.from_sites(values), *rows)
        flat = params.reshape(*values.shape[:2], *params.shape[-2:])
        nats = net.likelihood.log_prob(flat, values).flatten(1).sum(1)
    return float(nats.exp().sum())
