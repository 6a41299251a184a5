"""The CUDA runtime: a step program as captured graphs, on one GPU."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from ancestral.compile import Program, StepProgram
from ancestral.models.network import Network
from ancestral.runtimes.cuda.batch import CudaBatch
from ancestral.runtimes.cuda.capture import Calls, Capture, CudaGraphs
from ancestral.runtimes.cuda.elements import CudaElements
from ancestral.runtimes.reference import ReferenceRuntime
from ancestral.runtimes.running import Batch

Precision = Literal["float32", "tf32", "bf16"]


def checked_device(name: str) -> torch.device:
    """The device of that name. Raises ValueError where it is not there."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device {name}: cpu, or cuda:0 and its like, are expected") from error
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise ValueError(f"device {name}: cpu, or cuda:0 and its like, are expected")
    if not torch.cuda.is_available():
        built = "finds no GPU" if torch.version.cuda else "was built without CUDA"
        raise ValueError(f"device {name}: torch {torch.__version__} {built}")
    if (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {name}: there are {torch.cuda.device_count()} GPUs")
    return torch.device("cuda", device.index or 0)


class CudaRuntime(ReferenceRuntime):
    """Samples a network through its step program; see `runtimes.base.Runtime`.

    `precision` is that of products: float32, tf32 (float32 with ten bits of mantissa), or bf16 for
    weights and caches, too. Draws are in float64. `capture` is how operations are recorded: as CUDA
    graphs on a GPU, not at all elsewhere. Programs over elements keep codes beside activations,
    which bf16 does not hold: with it they run in float32, their products in tf32.
    """

    name = "cuda"

    def __init__(
        self,
        program: Program,
        network: Network,
        slots: int,
        *,
        device: torch.device | str = "cuda:0",
        precision: Precision = "float32",
        capture: Capture | None = None,
    ) -> None:
        device = torch.device(device)
        if capture is None:
            capture = CudaGraphs(device) if device.type == "cuda" else Calls()
        self._capture, self._precision = capture, precision
        half = precision == "bf16" and isinstance(program, StepProgram)
        dtype = torch.bfloat16 if half else torch.float32
        super().__init__(program, network, slots, dtype=dtype, device=device)

    def _new_batch(self, slots: int) -> Batch:
        if self._device.type == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = self._precision == "tf32" or (
                self._precision == "bf16" and self._dtype == torch.float32
            )
        program, dims = self.program, self._data.dims_per_site
        self._cuda: CudaBatch | CudaElements
        if isinstance(program, StepProgram):
            self._cuda = CudaBatch(
                program, self._likelihood, dims, slots, self._dtype, self._device, self._capture
            )
        else:
            self._cuda = CudaElements(
                program, self._likelihood, dims, slots, self._device, self._capture
            )
        return self._cuda

    def _run(self, sites: int) -> int:
        """Advance the running slots together until somebody may join, `sites` at most."""
        if self._waiting and self._batch.n:
            sites = min(sites, self._until_join())
        states = self._running
        self._cuda.draws([state.request for state in states])
        fixed = np.stack([s.fixed[s.site : s.site + sites] for s in states], 1)
        values = np.stack([s.values[s.site : s.site + sites] for s in states], 1)
        drawn, nats = self._cuda.run(sites, torch.from_numpy(fixed), torch.from_numpy(values))
        new, scores = drawn.numpy(), nats.numpy()
        for i, state in enumerate(states):
            part = slice(state.site, state.site + sites)
            kept = state.fixed[part]
            state.values[part] = np.where(kept, state.values[part], new[:, i])
            state.log_prob[part] = scores[:, i]
            state.site += sites
        return sites
