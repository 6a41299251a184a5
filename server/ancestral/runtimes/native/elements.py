"""A running batch of an element program in compiled code; see `runtimes.elements`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ancestral.compile.elements import ElementProgram
from ancestral.likelihoods import Likelihood
from ancestral.runtimes.elements import Elements
from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.chunk import Chunk, Draws
from ancestral.runtimes.native.code import draw
from ancestral.runtimes.native.code.cache import compiling
from ancestral.runtimes.native.code.kernels import kernels
from ancestral.runtimes.native.code.lanes import LANES
from ancestral.runtimes.native.code.operations import operations
from ancestral.runtimes.native.code.schedule import run_elements, run_time
from ancestral.runtimes.native.shared import element_tables, numpy_type, weights_of
from ancestral.runtimes.native.storage import zeros


class NativeElements(Elements):
    """The arenas of a running batch; slots at one rank are computed together."""

    def __init__(
        self,
        program: ElementProgram,
        likelihood: Likelihood,
        channels: int,
        slots: int,
        dtype: torch.dtype,
    ) -> None:
        codes = torch.int64 if likelihood.discrete else dtype
        self._slots, self._type = slots, numpy_type(dtype)
        super().__init__(program, slots, dtype, torch.device("cpu"), codes)
        vectors, size = program.params_shape
        self.draws = Draws(slots, size, channels)
        config = [*draw.describe(likelihood), vectors, channels, int(likelihood.joint)]
        self._config = np.array(config, dtype=np.int64)
        self.stand = np.zeros(f.STATE, dtype=np.int64)
        self.stand[f.ARENA_SLOT] = self._arena.stride(0) * self._type.itemsize
        self._ranks = np.zeros(slots, dtype=np.int64)
        self._places = np.ascontiguousarray(program.params), np.ascontiguousarray(program.codes)
        with compiling(f"elements-{self._type}"):  # before it is needed
            self._kernel = kernels(self._type).address
            self.interpret = operations(self._type).address
            self.run(0, Chunk.of(0, 0, channels))

    @property
    def weights(self) -> list[Tensor]:
        return super().weights + weights_of(self.program, self.graph, self._type).tensors

    def _new_arena(self, slots: int, size: int) -> Tensor:
        # torch fills its memory here; numpy asks for large pages, and the first site, which writes
        # here and there, would wait until the system has filled all of them
        spare = 4 * LANES  # copies read whole vectors
        return super()._new_arena(1, slots * size + spare)[0, : slots * size].view(slots, size)

    def _plan(self) -> Any:
        """The table of operations, in place of functions."""
        tables = element_tables(self.program, self.graph, self._type)
        self._shared = tables
        self.operations, self._ends, self._links, self._rooms = tables.over(self._slots)
        self._segments = np.zeros((tables.most_segments, 3), dtype=np.int64)
        self._scratch = zeros((tables.most_scratch,), self._type)
        self._none = np.zeros(1, dtype=np.int64)
        return [[(self._run_time, time, 0)] for time in range(len(self.program.codes))]

    def _run_time(self, slots: Tensor | None, time: int, _: int) -> None:
        """What is due at a time, for slots at one rank (None: all)."""
        arena, stride = self._arena.data_ptr(), int(self.stand[f.ARENA_SLOT])
        for first in (0,) if slots is None else slots.tolist():
            self.stand[f.N] = self.n if slots is None else 1
            self.stand[f.ARENA] = arena + first * stride
            run_time(self._kernel, time, self._due_tables(), self._tables())

    def run(self, sites: int, chunk: Chunk) -> None:
        """Advance every slot by so many sites."""
        self.stand[f.N] = self.n
        self._ranks[: self.n] = self.ranks[: self.n]
        params, codes = self._places
        where = (self._arena.data_ptr(), int(params.ctypes.data), int(codes.ctypes.data))
        run_elements(
            self._type.type(0), self._kernel, sites, self.program.subs, self._tables(),
            self._due_tables(), where,
            (params.shape[1], codes.shape[1]), self._config, self.draws.arrays,
            (chunk.values, chunk.fixed, chunk.nats),
        )  # fmt: skip
        for i in range(self.n):
            self.ranks[i] += sites

    def _tables(self) -> tuple[int, ...]:
        return (*(
            int(table.ctypes.data)
            for table in (
                self.operations, self._none, self._ends, self._links, self._segments,
                self._scratch, self.stand, self._ranks, self._none, self._none, self._none,
            )
        ), self.interpret)  # fmt: skip

    def _due_tables(self) -> tuple[int, int]:
        return int(self._shared.due_starts.ctypes.data), int(self._shared.due.ctypes.data)
