"""A running batch of a step program in compiled code: its caches, its slots, its clocks."""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ancestral.compile.graph import Graph
from ancestral.compile.program import StepProgram
from ancestral.compile.step import Step
from ancestral.likelihoods import Likelihood
from ancestral.runtimes.activations import activations
from ancestral.runtimes.keys import KeyCaches
from ancestral.runtimes.lattice import Draw
from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.chunk import Chunk, Draws
from ancestral.runtimes.native.code import draw
from ancestral.runtimes.native.code.cache import compiling
from ancestral.runtimes.native.code.interpreter import located, run, run_end, run_part
from ancestral.runtimes.native.code.kernels import kernels
from ancestral.runtimes.native.code.lanes import LANES
from ancestral.runtimes.native.code.operations import operations
from ancestral.runtimes.native.lower.kinds import lower
from ancestral.runtimes.native.lower.lowering import Lowering
from ancestral.runtimes.native.lower.rings import RingStore
from ancestral.runtimes.native.shared import numpy_type, prepared
from ancestral.runtimes.native.storage import Array, kept, zeros
from ancestral.runtimes.tables import Tables, by_site, tables_of


class NativeBatch:
    """Slots stand densely at indices 0 … n-1; those of a grid share the column."""

    def __init__(
        self,
        program: StepProgram,
        likelihood: Likelihood,
        channels: int,
        slots: int,
        dtype: torch.dtype,
    ) -> None:
        self.program, self._slots = program, slots
        self._shared = prepared(program, dtype)
        self.graph: Graph = self._shared.graph
        self._dtype = numpy_type(dtype)
        codes = torch.int64 if likelihood.discrete else dtype
        self._tables = Tables(program, self.graph, slots, codes, torch.device("cpu"))
        self.stand = np.zeros(f.STATE, dtype=np.int64)
        self.stand[f.ALL_COLUMNS] = program.columns
        self.stand[f.GRID] = program.space == "grid"
        self._rings = self._new_rings()
        self._keys = KeyCaches(program, slots, dtype, torch.device("cpu"), lanes=LANES)
        self._arrays: dict[int, Array] = {}  # tables, in this runtime's layout
        self._masks = {id(o) for s in program.steps if s.kind == "attend" for o in s.operands}
        self._capacity = program.rows * program.columns if program.space == "grid" else 1
        self._lowered: Lowering | None = None
        self.ranks = np.zeros(slots, dtype=np.int64)
        vectors, size = program.params_shape
        config = [*draw.describe(likelihood), vectors, channels, int(likelihood.joint)]
        self._config: Array = np.array(config, dtype=np.int64)
        self.draws = Draws(slots, size, channels)
        self._reserve(self._capacity)
        with compiling(f"sites-{self._dtype}"):  # before it is needed
            self._kernel = kernels(self._dtype).address
            self.interpret = operations(self._dtype).address
            self.run(0, Chunk.of(0, 0, channels))

    # ------------------------------------------------------------------ memory

    def _new_rings(self) -> dict[str, RingStore]:
        """The rings, and a clock for every length there is: rows for grids, steps for time."""
        clocks: dict[tuple[bool, int], int] = {}
        found = {}
        for step in self.program.steps:
            if step.ring is not None:
                clock = (step.space == "grid", step.ring.length)
                clocks.setdefault(clock, len(clocks))
                found[step.name] = RingStore(step, self._slots, self._dtype, clocks[clock])
        self._by_row = np.array([grid for grid, _ in clocks], dtype=np.int64)
        self._lengths = np.array([length for _, length in clocks], dtype=np.int64)
        self._phases = np.zeros(len(clocks), dtype=np.int64)
        return found

    def _reserve(self, sites: int) -> None:
        """Room for items of that many sites, and the tables of operations over it."""
        if self._lowered is not None and sites <= self._capacity:
            return
        self._capacity = max(sites, self._capacity)
        self._tables.read_constants(self._capacity)
        self._keys.reserve(self._capacity, self)
        for table in tables_of(self.program):
            if not table.fixed.item:
                self._arrays[id(table)] = self._layout(id(table), self._tables.store(table))
            elif id(table) not in self._arrays:  # as long as in the example until a slot opens
                shape = by_site(table.fixed.tensor, table).shape
                self._arrays[id(table)] = zeros((self._slots, *shape), self._dtype)
        self._lower()

    def _layout(self, key: int, store: Tensor) -> Array:
        """A table in this runtime's type; what a mask forbids is −∞, to be added to scores."""
        if store.dtype == torch.bool and key in self._masks:
            store = torch.zeros(store.shape).masked_fill(~store, -math.inf)
        return kept(store.numpy(), self._dtype)

    def _lower(self) -> None:
        """Build the table of operations over the caches as they are."""
        low = Lowering(
            self.program, self._shared.plan, self._shared.weights, self._slots, self._rings,
            self._arrays, self._keys,
        )  # fmt: skip
        low.build(lower)
        self._lowered = low
        self.operations = np.array(low.operations, dtype=np.int64).reshape(-1, f.FIELDS)
        self._starts = np.array(low.starts, dtype=np.int64)
        self._ends = np.array(low.ends, dtype=np.int64)
        self._links = np.array(low.links, dtype=np.int64).reshape(-1, f.LINK)
        self._segments = np.zeros((low.most_segments, 3), dtype=np.int64)
        self._scratch = zeros((low.most_scratch,), self._dtype)

    @property
    def weights(self) -> list[Tensor]:
        return [*self.graph.constants.values(), *self._shared.weights.tensors]

    def slot_bytes(self, sites: int) -> int:
        rings: int = sum(ring.array[:, 0].nbytes for ring in self._rings.values())
        items: int = sum(self._arrays[key][0].nbytes for key in self._tables.items)
        return rings + items + self._keys.slot_bytes(sites)

    # ------------------------------------------------------------------ slots

    @property
    def n(self) -> int:
        return int(self.stand[f.N])

    @property
    def column(self) -> int:
        return int(self.stand[f.AT_COLUMN])

    def settle(self) -> None:
        """Nothing is to be done after slots came or went."""

    def aligned(self, rank: int) -> bool:
        """Whether a slot at this rank can join now."""
        grid = bool(self.stand[f.GRID])
        return bool(not grid or self.n == 0 or rank % self.program.columns == self.column)

    def open(
        self, conditions: tuple[Tensor, ...], values: Tensor | None, rank: int, sites: int
    ) -> Tensor | None:
        """Put a new sequence at the end of the batch, its first `rank` sites known.

        See `Caches.open`: the caches are filled from one teacher-forced pass.
        """
        at = self.n
        self.stand[f.N] = at + 1
        if at == 0 and self.stand[f.GRID]:
            self.stand[f.AT_COLUMN] = rank % self.program.columns
        self.ranks[at] = rank
        self._read_condition(at, conditions, sites)
        self._reserve(sites)
        for ring in self._rings.values():
            ring.array[:, at] = 0
            ring.array[:, at, ..., : ring.step.payload] = self._fill(ring.step, at)
        return None if values is None else self._prefill(at, conditions, values, rank)

    def _read_condition(self, at: int, conditions: tuple[Tensor, ...], sites: int) -> None:
        """The tables that follow from a slot's condition."""
        self._tables.read_items(at, conditions, sites)
        changed = False
        for key, store in self._tables.items.items():
            array = self._arrays.get(key)
            if array is None or array.shape != store.shape:
                self._arrays[key] = self._layout(key, store)
                changed = True
            else:
                own = store[at]
                array[at] = self._layout(key, own) if own.dtype == torch.bool else own.numpy()
        if changed:
            self._lower()

    def _fill(self, step: Step, at: int) -> Any:
        fill = self._tables.fill(step.fill, at)
        return fill.numpy() if isinstance(fill, Tensor) else fill

    def close(self, at: int) -> None:
        """Take a slot out of the batch; the last one moves into its place."""
        last = self.n - 1
        self.stand[f.N] = last
        if at == last:
            return
        self.ranks[at] = self.ranks[last]
        for ring in self._rings.values():
            ring.array[:, at] = ring.array[:, last]
        for store in self._keys.stores():
            store[at] = store[last]
        for key, items in self._tables.items.items():
            items[at] = items[last]
            self._arrays[key][at] = self._arrays[key][last]

    def _prefill(
        self, at: int, conditions: tuple[Tensor, ...], values: Tensor, rank: int
    ) -> Tensor:
        found, params = activations(self.program, self.graph, values, conditions, rank)
        for name, ring in self._rings.items():
            step, source = ring.step, found[name].numpy()
            clock = int(self._phases[ring.phase])
            if step.space == "flat":
                for lag in range(1, ring.length + 1):
                    index = rank - lag - step.lead[1]
                    if 0 <= index < source.shape[0]:
                        place = ring.array[(clock - lag) % ring.length, at]
                        place[: step.payload] = source[index]
                continue
            row = rank // self.program.columns
            for lag in range(ring.length):
                index = row - lag - step.lead[0]
                if 0 <= index < source.shape[0]:
                    place = ring.array[(clock - lag) % ring.length, at]
                    place[ring.left : ring.left + source.shape[1], : step.payload] = source[index]
        self._keys.prefill(at, found, rank)
        return params

    # ------------------------------------------------------------------ stepping

    def run(self, sites: int, chunk: Chunk) -> None:
        """Advance every slot by so many sites."""
        run(
            self._dtype.type(0), self._kernel, sites, self.program.subs, self._addresses(),
            len(self._lengths), self._config, self.draws.arrays,
            (chunk.values, chunk.fixed, chunk.nats),
        )  # fmt: skip

    def step(self, draw: Draw) -> None:
        """One site of every running slot, its values drawn by `draw`; see `Lattice.step`."""
        tables, starts = self._addresses(), self._starts.tolist()
        self.stand[f.DONE], self.stand[f.WANTED] = 0, 1
        vectors, size = self.program.params_shape
        if self.stand[f.GRID] and self.column == 0:
            run_part(self._kernel, starts[0], starts[1], tables)
        given = 0
        for sub in range(self.program.subs + 1):
            run_part(self._kernel, starts[1 + sub], starts[2 + sub], tables)
            if sub == self.program.subs:
                break
            params = np.stack(
                [self._view(located(tables, 0, i), vectors * size).copy() for i in range(self.n)]
            )
            values = draw(sub, torch.from_numpy(params).reshape(self.n, vectors, size)).numpy()
            for i in range(self.n):
                codes = self._view(located(tables, 1, i), given + values.shape[1])
                codes[given:] = values[i]
            given += values.shape[1]
        run_end(tables, len(self._lengths))

    def _view(self, address: int, count: int) -> Array:
        """Memory of this batch as numpy sees it."""
        raw: Any = (ctypes.c_char * (count * self._dtype.itemsize)).from_address(address)
        found: Array = np.frombuffer(raw, dtype=self._dtype)
        return found

    def _addresses(self) -> tuple[int, ...]:
        return (*(
            int(table.ctypes.data)
            for table in (
                self.operations, self._starts, self._ends, self._links, self._segments,
                self._scratch, self.stand, self.ranks, self._phases, self._lengths, self._by_row,
            )
        ), self.interpret)  # fmt: skip
