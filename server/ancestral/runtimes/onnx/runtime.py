"""The ONNX runtime: a step program run by ONNX Runtime, in float32."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch

from ancestral.compile import Program, StepProgram
from ancestral.models.network import Network
from ancestral.runtimes.onnx.batch import OnnxBatch
from ancestral.runtimes.onnx.writer import Unwritten
from ancestral.runtimes.reference import ReferenceRuntime
from ancestral.runtimes.running import Batch


class OnnxRuntime(ReferenceRuntime):
    """Samples a network through its step program; see `runtimes.base.Runtime`.

    Raises Unwritten where the program has an operator that has no form in ONNX.
    """

    name = "onnx"

    def __init__(
        self,
        program: Program,
        network: Network,
        slots: int,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(program, network, slots, dtype=torch.float32, device=device)

    def _new_batch(self, slots: int) -> Batch:
        if not isinstance(self.program, StepProgram):
            raise Unwritten("a program over the elements of an item")
        self._onnx = OnnxBatch(
            self.program, self._likelihood, self._data.dims_per_site, slots, self._device
        )
        return self._onnx

    def _run(self, sites: int) -> int:
        """Advance the running slots together until somebody may join, `sites` at most."""
        if self._waiting and self._batch.n:
            sites = min(sites, self._until_join())
        states = self._running
        self._onnx.draws([state.request.sampling for state in states])
        params, values = self._onnx.run(*self._gather(states, sites))
        scores = self._likelihood.log_prob(params.double(), values).cpu().numpy()
        new = values.cpu().numpy()
        for i, state in enumerate(states):
            state.values[state.site : state.site + sites] = new[i]
            state.log_prob[state.site : state.site + sites] = scores[i]
            state.site += sites
        return sites


_KNOWN: WeakKeyDictionary[Program, str | None] = WeakKeyDictionary()


def unsupported(program: Program, network: Network) -> str | None:
    """The operator that keeps a program from being written as ONNX; None where there is none."""
    if program not in _KNOWN:
        try:
            OnnxRuntime(program, network, 1)
            _KNOWN[program] = None
        except Unwritten as reason:
            _KNOWN[program] = str(reason)
    return _KNOWN[program]
