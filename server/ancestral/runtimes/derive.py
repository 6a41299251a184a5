"""Derive a sampler and check it: every compilation ends in a parity check.

The step program must give the forward pass's params at every site it is asked for: at the start
of a random item, and, its caches filled from a teacher-forced pass, near the end.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from math import prod

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ancestral.compile import CompileError, ParityError, Program, Tracing, compile_network
from ancestral.models.data import ConditionSpec, whole_frames
from ancestral.models.network import Network
from ancestral.runtimes.running import Batch, new_batch
from ancestral.stages import each

PARITY = 1e-10  # of the params' scale, in float64
WINDOW = 48  # sites stepped at either end of an open-ended item or a vector
_LONGEST = 8192  # of the open-ended items that are checked


def derive(
    network: Network,
    conditions: Sequence[ConditionSpec] = (),
    order: npt.NDArray[np.int64] | None = None,
    tracing: Tracing | None = None,
) -> Program:
    """The checked step program of a network; see `compile.compile_network` for the errors.

    Raises ParityError where the program's params are not the forward pass's.
    """
    tracing = tracing or Tracing()
    with tracing.alone():
        program = compile_network(network, conditions, order, tracing)
        if not tracing.checked:
            try:
                check(program, network, conditions)
            except RuntimeError as error:
                raise CompileError(f"the step program does not run: {error}") from error
            tracing.keep()
    return program


def check(program: Program, network: Network, conditions: Sequence[ConditionSpec]) -> float:
    """The largest difference between stepped and forward params, over the params' scale."""
    sites = _length(program, network, conditions)
    values = random_values(network, sites)
    given = tuple(random_condition(c, network, sites) for c in conditions)
    double = copy.deepcopy(network).double().eval()
    with torch.inference_mode():
        forward = double(item_of(program, network, values), *given)[0]
    by_position = forward.reshape(sites, *forward.shape[-2:])
    wanted = by_position if program.order is None else by_position[torch.from_numpy(program.order)]
    scale = max(float(wanted.abs().max()), 1e-30)
    worst = 0.0
    for first, last in _windows(program, sites):
        found = step_params(program, network, values, given, first, last)
        error = float((found - wanted[first:last]).abs().max()) / scale
        if not error <= PARITY:
            raise ParityError(
                f"stepped params differ from the forward pass's by {error:.1e} of their scale "
                f"between sites {first} and {last} of {sites}"
            )
        worst = max(worst, error)
    return worst


def step_params(
    program: Program,
    network: Network,
    values: npt.NDArray[np.generic],
    conditions: tuple[Tensor, ...],
    first: int = 0,
    last: int | None = None,
    dtype: torch.dtype = torch.float64,
    batch: Batch | None = None,
) -> Tensor:
    """Params [last − first, D, P] of the step program along `values` [S, C], by rank.

    Sites before `first` are prefilled by one teacher-forced pass, the rest stepped, in an empty
    `batch` of that program and precision (None: the reference runtime's).
    """
    last = len(values) if last is None else last
    if batch is None:
        batch = new_batch(program, network, 1, dtype, torch.device("cpu"))
    cast = tuple(c.to(dtype) if c.is_floating_point() else c for c in conditions)
    item = item_of(program, network, values, dtype) if first else None
    batch.open(cast, item, first, len(values))
    batch.settle()
    codes = torch.from_numpy(np.asarray(values))
    found: list[Tensor] = []
    for site in each("checking", "sites", range(first, last)):
        rows: list[Tensor] = []

        def draw(sub: int, params: Tensor, site: int = site, rows: list[Tensor] = rows) -> Tensor:
            one_by_one = network.vectors_per_site > 1
            rows.append(params[0, sub : sub + 1] if one_by_one else params[0])
            return codes[site : site + 1, sub : sub + 1] if one_by_one else codes[site : site + 1]

        batch.step(draw)
        found.append(torch.cat(rows))
    return torch.stack(found)


def _windows(program: Program, sites: int) -> list[tuple[int, int]]:
    window = 2 * program.columns if program.space == "grid" else WINDOW
    if sites <= 2 * window:
        return [(0, sites), (sites // 2, sites)]
    return [(0, window), (sites - window - window // 4, sites)]


def _length(program: Program, network: Network, conditions: Sequence[ConditionSpec]) -> int:
    if network.data.shape:
        return network.data.sites()
    reach = sum(s.ring.length for s in program.steps if s.ring)
    sites = whole_frames(min(reach + 2 * WINDOW, _LONGEST), conditions)
    return min(sites, network.longest or sites)


def random_values(network: Network, sites: int) -> npt.NDArray[np.generic]:
    generator = np.random.default_rng(0)
    shape = (sites, network.data.dims_per_site)
    if network.data.levels is None:
        return generator.standard_normal(shape)
    return generator.integers(0, network.data.levels, shape)


def random_condition(spec: ConditionSpec, network: Network, sites: int) -> Tensor:
    """A condition of batch one for an item of that many sites, float64 or a label."""
    generator = torch.Generator().manual_seed(0)
    if spec.kind == "label":
        return torch.randint(spec.classes or 1, (1,), generator=generator)
    frames = [-(-sites // spec.hop)] if spec.kind == "series" else list(network.data.shape[1:])
    shape = (1, spec.channels or 1, *frames)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def item_of(
    program: Program,
    network: Network,
    values: npt.NDArray[np.generic],
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """Values by rank as an item of batch one."""
    by_position = np.empty_like(values)
    by_position[np.arange(len(values)) if program.order is None else program.order] = values
    item: Tensor = network.data.from_sites(torch.from_numpy(by_position)[None])
    assert prod(item.shape) == values.size
    return item if network.likelihood.discrete else item.to(dtype)
