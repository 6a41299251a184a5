"""A running batch that ONNX Runtime steps: caches of torch tensors, bound in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ancestral.compile.program import StepProgram
from ancestral.likelihoods.base import Likelihood
from ancestral.runtimes.base import Sampling
from ancestral.runtimes.cached import CachedBatch
from ancestral.runtimes.onnx.session import Bound, Session
from ancestral.runtimes.onnx.step import NEXT, StepGraphs, step_graphs
from ancestral.runtimes.straight.state import statics_of, stores_of

Draw = Callable[[int, Tensor], Tensor]
EVERYTHING = 2.0  # a top_p that cuts nothing
_GRAPHS: WeakKeyDictionary[StepProgram, dict[tuple[object, ...], tuple[Session | None, Session]]]
_GRAPHS = WeakKeyDictionary()


class OnnxBatch(CachedBatch):
    """Slots of a program over grids or time; see `runtimes.running.Batch`."""

    def __init__(
        self,
        program: StepProgram,
        likelihood: Likelihood,
        dims: int,
        slots: int,
        device: torch.device,
    ) -> None:
        dtype = torch.float32
        codes = torch.int64 if likelihood.discrete else dtype
        super().__init__(program, slots, dtype, device, codes)
        self._likelihood, self._dims = likelihood, dims
        vectors, size = program.params_shape

        def room(*shape: int, of: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(shape, dtype=of, device=device)

        double = torch.float64
        self._at = {
            "at/slot": torch.arange(slots, device=device),
            "at/rank": room(slots),
            "at/clock": room(),
            "at/row_clock": room(),
            "at/column": room(),
            "draw/uniforms": room(slots, dims, 2, of=double),
            "draw/temperature": room(slots, 1, of=double) + 1,
            "draw/top_k": room(slots, 1) + likelihood.n_params,
            "draw/top_p": room(slots, 1, of=double) + EVERYTHING,
            "draw/fixed": room(slots, dims, of=torch.bool),
            "draw/known": room(slots, dims, of=codes),
        }
        self._params = room(slots, vectors, size, of=dtype)
        self._values = room(slots, dims, of=codes)
        self._cuts = False
        self._bound: dict[tuple[int, bool], tuple[Bound | None, Bound]] = {}
        self.caches.reserve(program.rows * program.columns)
        self._sessions(cuts=False)  # raises Unwritten before anything is promised

    def run(self, uniforms: Tensor, fixed: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """As many sites as there are uniforms [sites, n, C, 2]; `fixed`, `known` [sites, n, C].

        Returns params [n, sites, D, P] and values [n, sites, C].
        """
        n, sites = self.n, len(uniforms)
        params = self._params.new_empty((sites, n, *self._params.shape[1:]))
        values = self._values.new_empty((sites, n, self._dims))
        known = known.to(self._values.dtype)
        for k in range(sites):
            self._at["draw/uniforms"][:n] = uniforms[k]
            self._at["draw/fixed"][:n] = fixed[k]
            self._at["draw/known"][:n] = known[k]
            self._site()
            params[k], values[k] = self._params[:n], self._values[:n]
            self._advance()
        return params.transpose(0, 1), values.transpose(0, 1)

    def step(self, draw: Draw) -> None:
        """One site with a draw from outside: what a site writes, a second run overwrites."""
        self._at["draw/fixed"][: self.n] = True
        self._at["draw/uniforms"][: self.n] = 0.5
        at = 0
        for sub in range(self.program.subs):
            self._site()
            values = draw(sub, self._params[: self.n].clone())
            self._at["draw/known"][: self.n, at : at + values.shape[1]] = values
            at += values.shape[1]
        self._site()
        self._advance()

    def draws(self, samplings: Sequence[Sampling]) -> None:
        """How each running slot draws."""
        cuts = False
        for i, sampling in enumerate(samplings):
            self._at["draw/temperature"][i] = sampling.temperature
            cut = sampling.top_k is not None or sampling.top_p is not None
            self._at["draw/top_k"][i] = sampling.top_k or self._likelihood.n_params
            self._at["draw/top_p"][i] = EVERYTHING if sampling.top_p is None else sampling.top_p
            cuts = cuts or cut
        self._cuts = cuts

    # ------------------------------------------------------------------ slots

    def settle(self) -> None:
        super().settle()
        self._place()

    def open(
        self, conditions: tuple[Tensor, ...], values: Tensor | None, rank: int, sites: int
    ) -> Tensor | None:
        self._bound.clear()  # stores may have grown
        return super().open(conditions, values, rank, sites)

    # ------------------------------------------------------------------ a site

    def _site(self) -> None:
        key = (self.n, self._cuts)
        if key not in self._bound:
            self._bound[key] = self._bind()
        row, site = self._bound[key]
        if row is not None and self.stand.column == 0:
            row.run()
        site.run()

    def _advance(self) -> None:
        """One site further; the positions follow in place."""
        self.stand.advance()
        self._at["at/rank"][: self.n] += 1
        self._at["at/clock"].fill_(self.stand.clock)
        if self.stand.grid:
            self._at["at/column"].fill_(self.stand.column)
            self._at["at/row_clock"].fill_(self.stand.row_clock)

    def _place(self) -> None:
        """All positions anew."""
        stand = self.stand
        self._at["at/rank"][: self.n] = stand.rank_index
        self._at["at/clock"].fill_(stand.clock)
        self._at["at/column"].fill_(stand.column)
        self._at["at/row_clock"].fill_(stand.row_clock)

    def _bind(self) -> tuple[Bound | None, Bound]:
        n = self.n
        row, site = self._sessions(cuts=self._cuts)
        stores = stores_of(self.caches, n)
        given = {k: v if v.dim() == 0 else v[:n] for k, v in self._at.items()}
        given |= stores | statics_of(self.caches, n)
        given["at/keys"] = torch.arange(self.caches.keys.capacity, device=self.caches.device)
        results = {NEXT + name: store for name, store in stores.items()}
        results |= {"params": self._params[:n], "values": self._values[:n]}
        return None if row is None else row.bound(given, results), site.bound(given, results)

    def _sessions(self, *, cuts: bool) -> tuple[Session | None, Session]:
        """Made once a process for each program, kind of draw and pattern of attention."""
        known = _GRAPHS.setdefault(self.program, {})
        sparse = frozenset(self.caches.keys.sparse())
        key = (cuts, sparse, self.caches.device, self._likelihood.name)
        if key not in known:
            graphs: StepGraphs = step_graphs(self.caches, self._likelihood, self._dims, cuts=cuts)
            row = None if graphs.row is None else Session(graphs.row, self.caches.device)
            known[key] = (row, Session(graphs.site, self.caches.device))
        return known[key]
