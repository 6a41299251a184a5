"""A running batch on a GPU: many sites at a time as one repeatable sequence of operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ancestral.compile.program import StepProgram
from ancestral.likelihoods.base import Likelihood
from ancestral.runtimes.base import SlotRequest
from ancestral.runtimes.cuda.capture import Capture, Work
from ancestral.runtimes.cuda.draws import Draws
from ancestral.runtimes.straight.batch import StraightBatch
from ancestral.runtimes.straight.state import State, Where, statics_of, stores_of

LENGTHS = (64, 8, 1)  # sites of a graph, where a row does not set it
Kind = tuple[int, int, bool, bool, bool]  # slots, sites, begins a row, known values, cuts


class CudaBatch(StraightBatch):
    """Slots of a program over grids or time; see `runtimes.running.Batch`.

    Positions, seeds and settings of draws are tensors on the device, which the recorded sites
    themselves move on. Sites are recorded for a few numbers of slots (powers of two, and all) and
    a few lengths; slots beyond those that run compute, too, at a place of their own, for nobody.
    A graph of a grid is a row.
    """

    def __init__(
        self,
        program: StepProgram,
        likelihood: Likelihood,
        dims: int,
        slots: int,
        dtype: torch.dtype,
        device: torch.device,
        capture: Capture,
    ) -> None:
        read = torch.int64 if likelihood.discrete else dtype  # as the network reads them
        super().__init__(program, slots, dtype, device, read)
        self._capture = capture

        def room(*shape: int, of: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(shape, dtype=of, device=device)

        self._rank, self._last = room(slots), room(slots)
        self._clock, self._row_clock, self._column = room(), room(), room()
        most = max(program.columns, *LENGTHS) if program.space == "grid" else LENGTHS[0]
        self._draws = Draws(likelihood, program.params_shape, dims, slots, slots, most, device)
        self._recorded: dict[Kind, Work] = {}

    # ------------------------------------------------------------------ slots

    def open(
        self, conditions: tuple[Tensor, ...], values: Tensor | None, rank: int, sites: int
    ) -> Tensor | None:
        before = self._addresses()
        found = super().open(conditions, values, rank, sites)
        if self._addresses() != before:  # a cache has grown: what was recorded reads the old one
            self._recorded.clear()
        return found

    def _addresses(self) -> list[int]:
        slots = self.caches.slots
        tensors = {**stores_of(self.caches, slots), **statics_of(self.caches, slots)}
        return [tensor.data_ptr() for tensor in tensors.values()]

    def draws(self, requests: Sequence[SlotRequest]) -> None:
        """What the running slots are and how they draw; to be called before `run`."""
        n = len(requests)
        ranks = torch.zeros_like(self._rank)
        ranks[:n] = torch.tensor(self.stand.ranks[:n])
        self._rank.copy_(ranks)
        self._last.zero_()
        self._last[:n] = torch.tensor([r.sites - 1 for r in requests])
        self._draws.set(requests)
        self._clock.fill_(self.stand.clock)
        self._row_clock.fill_(self.stand.row_clock)
        self._column.fill_(self.stand.column)

    # ------------------------------------------------------------------ sites

    def run(self, sites: int, fixed: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Advance all running slots; `fixed` and `known` [sites, n, C] on the host.

        Returns values and nats [sites, n, C] on the host. While one recording runs, the results of
        those before it are on their way.
        """
        n, done = self.n, 0
        size = self._padded(n)
        pending: list[Callable[[], list[Tensor]]] = []
        while done < sites:
            count, begins = self._next(sites - done)
            part = slice(done, done + count)
            given = bool(fixed[part].any())
            if given:
                self._draws.give(fixed[part], known[part])
            kind = (size, count, begins, given, self._draws.cuts)
            if kind not in self._recorded:
                self._recorded[kind] = self._record(kind)
            self._recorded[kind]()
            pending.append(self._capture.copy_out(self._draws.results(count, n)))
            for _ in range(count):
                self.stand.advance()
            done += count
        parts = [wait() for wait in pending]
        return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])

    def _padded(self, n: int) -> int:
        """The number of slots that a recording for n has."""
        return min(1 << (n - 1).bit_length(), self.caches.slots)

    def _next(self, left: int) -> tuple[int, bool]:
        """Sites of the next recording, and whether it begins a row."""
        if self.program.space == "grid":
            begins = self.stand.column == 0
            row = self.program.columns
            return (row if begins and left >= row else 1), begins
        return next(length for length in LENGTHS if length <= left), False

    def _record(self, kind: Kind) -> Work:
        n, count, begins, given, cuts = kind
        state = self._state(n)
        line = self.line

        def work() -> None:
            for k in range(count):
                if begins and k == 0:
                    line.row(state)
                state.regs.clear()
                self._site(state, n, k, given=given, cuts=cuts)
            self._draws.score(count, n)

        positions = [self._rank, self._clock, self._row_clock, self._column]
        changed = [*state.stores.values(), *positions]
        return self._capture.record(work, changed)

    def _state(self, n: int) -> State:
        keys = torch.arange(self.caches.keys.capacity, device=self.caches.device)
        at = Where(
            self._slots[:n], self._rank[:n], self._clock, self._row_clock, self._column, keys
        )
        return State(stores_of(self.caches, n), statics_of(self.caches, n), at, in_place=True)

    def _site(self, state: State, n: int, k: int, *, given: bool, cuts: bool) -> None:
        """One site and the move to the next."""
        subs = self.program.subs
        draw = self._draws.site(k, slice(n), self._rank[:n], subs, given=given, cuts=cuts)
        self.line.site(state, draw)
        torch.minimum(self._rank[:n] + 1, self._last[:n], out=self._rank[:n])
        self._clock.add_(1)
        if self.program.space == "grid":
            self._column.add_(1).remainder_(self.program.columns)
            self._row_clock.add_(self._column == 0)
