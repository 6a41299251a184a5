"""The running batch of a step program in torch operators, whichever space its steps go through."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ancestral.compile import ElementProgram, Program
from ancestral.compile.graph import Graph
from ancestral.models.network import Network
from ancestral.runtimes.elements import Elements
from ancestral.runtimes.lattice import Draw, Lattice


class Batch(Protocol):
    """A running batch of a program's space: `Lattice` for grids and time, `Elements` otherwise."""

    graph: Graph

    @property
    def n(self) -> int: ...

    def step(self, draw: Draw) -> None: ...
    def settle(self) -> None: ...
    def aligned(self, rank: int) -> bool: ...
    def open(
        self, conditions: tuple[Tensor, ...], values: Tensor | None, rank: int, sites: int
    ) -> Tensor | None: ...
    def close(self, at: int) -> None: ...
    @property
    def weights(self) -> list[Tensor]: ...
    def slot_bytes(self, sites: int) -> int: ...


def new_batch(
    program: Program, network: Network, slots: int, dtype: torch.dtype, device: torch.device
) -> Batch:
    """An empty running batch for a program."""
    codes = torch.int64 if network.likelihood.discrete else dtype
    if isinstance(program, ElementProgram):
        return Elements(program, slots, dtype, device, codes)
    return Lattice(program, slots, dtype, device, codes)
