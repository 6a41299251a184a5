"""Record a fixed sequence of operations and repeat it: by CUDA graphs, or by simply calling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

Work = Callable[[], None]
WARM_UPS = 2  # runs before a capture: libraries choose their kernels and allocate


class Capture(Protocol):
    """How a sequence of operations on fixed tensors is made repeatable."""

    def record(self, work: Work, changed: Sequence[Tensor]) -> Work:
        """A function that repeats `work`. Nothing of `changed` is different afterwards."""
        ...

    def copy_out(self, tensors: Sequence[Tensor]) -> Callable[[], list[Tensor]]:
        """Begin to copy results to the host; the function waits and gives them.

        The tensors may be overwritten by work that is launched after this.
        """
        ...


class Calls:
    """Without a graph: the same operations, one after the other, on any device."""

    def record(self, work: Work, changed: Sequence[Tensor]) -> Work:
        return work

    def copy_out(self, tensors: Sequence[Tensor]) -> Callable[[], list[Tensor]]:
        copies = [tensor.to("cpu", copy=True) for tensor in tensors]
        return lambda: copies


class CudaGraphs:
    """CUDA graphs that share one pool of memory; results leave by a stream of their own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool: Any = None
        self._side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._capture = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def record(self, work: Work, changed: Sequence[Tensor]) -> Work:
        kept = [tensor.clone() for tensor in changed]
        self._capture.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._capture):
            for _ in range(WARM_UPS):
                work()
        torch.cuda.current_stream(self._device).wait_stream(self._capture)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._capture):
            work()
        self._pool = graph.pool()
        for tensor, before in zip(changed, kept, strict=True):
            tensor.copy_(before)
        return graph.replay

    def copy_out(self, tensors: Sequence[Tensor]) -> Callable[[], list[Tensor]]:
        copies = [tensor.clone() for tensor in tensors]  # the next graph may write the originals
        ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
        ready.record(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._side):
            self._side.wait_event(ready)
            host = [torch.empty(t.shape, dtype=t.dtype, pin_memory=True) for t in copies]
            for to, tensor in zip(host, copies, strict=True):
                to.copy_(tensor, non_blocking=True)
                tensor.record_stream(self._side)
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record(self._side)

        def wait() -> list[Tensor]:
            done.synchronize()
            return host

        return wait
