"""The native runtime: a step program run by compiled code on the CPU, float32 by default."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
import torch

from ancestral.compile import Program
from ancestral.compile.elements import ElementProgram
from ancestral.models.network import Network
from ancestral.runtimes.native.batch import NativeBatch
from ancestral.runtimes.native.chunk import Chunk
from ancestral.runtimes.native.code import draw
from ancestral.runtimes.native.elements import NativeElements
from ancestral.runtimes.native.lower.errors import Unsupported
from ancestral.runtimes.reference import ReferenceRuntime
from ancestral.runtimes.running import Batch


class NativeRuntime(ReferenceRuntime):
    """Samples a network through its step program; see `runtimes.base.Runtime`.

    Raises Unsupported where the program has a step that has no compiled form.
    """

    name = "native"

    def __init__(
        self,
        program: Program,
        network: Network,
        slots: int,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(program, network, slots, dtype=dtype)
        _KNOWN[program] = None

    def _new_batch(self, slots: int) -> Batch:
        if self._likelihood.name not in draw.KINDS:
            raise Unsupported(f"the likelihood {self._likelihood.name}")
        build = NativeElements if isinstance(self.program, ElementProgram) else NativeBatch
        self._native: NativeBatch | NativeElements = build(
            self.program,  # type: ignore[arg-type]  # each its own kind of program
            self._likelihood,
            self._data.dims_per_site,
            slots,
            self._dtype,
        )
        return self._native

    def _run(self, sites: int) -> int:
        """Advance the running slots together until somebody may join, `sites` at most."""
        if self._waiting and self._batch.n:
            sites = min(sites, self._until_join())
        states = self._running
        for at, state in enumerate(states):
            request = state.request
            self._native.draws.set(at, request.seed, request.item, request.sampling)
        chunk = Chunk(
            np.stack([s.values[s.site : s.site + sites] for s in states]).astype(np.float64),
            np.stack([s.fixed[s.site : s.site + sites] for s in states]),
            np.empty((len(states), sites, self._data.dims_per_site)),
        )
        self._native.run(sites, chunk)
        for at, state in enumerate(states):
            state.values[state.site : state.site + sites] = chunk.values[at]
            state.log_prob[state.site : state.site + sites] = chunk.nats[at]
            state.site += sites
        return sites


_KNOWN: WeakKeyDictionary[Program, str | None] = WeakKeyDictionary()


def unsupported(program: Program, network: Network) -> str | None:
    """Why a program cannot be run here; None where it can."""
    if program not in _KNOWN:
        try:
            NativeRuntime(program, network, 1)
            _KNOWN[program] = None
        except Unsupported as reason:
            _KNOWN[program] = str(reason)
    return _KNOWN[program]
