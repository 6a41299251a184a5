"""The params that a step program computes, beside those of one teacher-forced pass."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ancestral.compile import Program
from ancestral.engine.model import Model
from ancestral.runtimes import derive
from ancestral.runtimes.base import Advance, Runtime
from ancestral.runtimes.running import Batch


@dataclass(frozen=True, slots=True)
class Drawn:
    """A finished item by rank: values and nats, [S, C]."""

    values: npt.NDArray[Any]
    log_prob: npt.NDArray[np.float64]


def finish(runtime: Runtime, slot: int, sites: int, seen: Sequence[Advance] = ()) -> Drawn:
    """Step until the slot is done and close it; `seen` are its advances so far."""
    parts = list(seen)
    while not (parts and parts[-1].done):
        parts += [advance for advance in runtime.step(sites) if advance.slot == slot]
    runtime.close(slot)
    values = np.concatenate([part.values for part in parts])
    return Drawn(values, np.concatenate([part.log_prob for part in parts]))


def first_conditions(model: Model, sites: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """A condition of each kind to run with: label 0, a standard normal series or plane.

    A series that the manifest measures of sounds is that of white noise: frames that no sound has
    may drive a trained recurrence to where float32 and float64 part.
    """
    generator = torch.Generator().manual_seed(seed)
    found: list[torch.Tensor] = []
    for spec, entry in zip(model.conditions, model.manifest.conditions, strict=True):
        measure = entry.measure(model.data.sample_rate or 0)
        if spec.kind == "label":
            found.append(torch.zeros(1, dtype=torch.int64))
        elif measure is not None:
            noise = 0.1 * torch.randn(-(-sites // spec.hop) * spec.hop, generator=generator)
            found.append(torch.from_numpy(measure(noise.numpy()))[None])
        elif spec.kind == "series":
            frames = -(-sites // spec.hop)
            found.append(torch.randn(1, spec.channels or 1, frames, generator=generator))
        else:
            shape = model.data.shape[-2:]
            found.append(torch.randn(1, spec.channels or 1, *shape, generator=generator))
    return tuple(found)


def step_params(
    model: Model,
    program: Program,
    values: npt.NDArray[Any],
    dtype: torch.dtype,
    batch: Batch | None = None,
) -> torch.Tensor:
    """What the step program computes at every site of an item [S, C]: [S, D, P] by rank.

    In an empty `batch` of that precision, or the reference runtime's.
    """
    conditions = first_conditions(model, len(values))
    return derive.step_params(program, model.network, values, conditions, dtype=dtype, batch=batch)


def forward_params(model: Model, values: npt.NDArray[Any], dtype: torch.dtype) -> torch.Tensor:
    """The same by one teacher-forced pass."""
    network = copy.deepcopy(model.network).to(dtype)
    codes = torch.from_numpy(model.item_of(values))[None]
    codes = codes if model.likelihood.discrete else codes.to(dtype)
    conditions = [
        condition.to(dtype) if condition.is_floating_point() else condition
        for condition in first_conditions(model, len(values))
    ]
    with torch.inference_mode():
        params: torch.Tensor = network(codes, *conditions)
    by_position = params.reshape(len(values), *params.shape[-2:])
    return by_position if model.order is None else by_position[torch.from_numpy(model.order)]


def random_values(model: Model, sites: int, seed: int = 0) -> npt.NDArray[Any]:
    """Codes evenly over the levels, or standard normal values: [S, C]."""
    generator = np.random.default_rng(seed)
    shape = (sites, model.data.dims_per_site)
    if model.data.levels is None:
        return generator.standard_normal(shape)
    return generator.integers(0, model.data.levels, shape)
