"""Who works on a GPU when: ONNX Runtime beside torch, on tensors that both write.

Each has a queue of work (stream) of its own, and neither waits for the other's by itself. A session
is therefore given a stream that torch knows, and every run stands between two waits on the GPU: for
what torch has queued before it, and of what torch queues after it. The host waits for neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import onnxruntime as ort
import torch


class Order(Protocol):
    """How runs of a session stand to torch's work on the same tensors."""

    @property
    def options(self) -> dict[str, Any]:
        """What the provider is to be told."""
        ...

    @property
    def run_options(self) -> Any:
        """With which it runs."""
        ...

    def turn(self) -> AbstractContextManager[None]:
        """A run within is behind torch's work before it and ahead of that after it."""
        ...


class OneAfterTheOther:
    """On the CPU a call returns when its work is done."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.run_options = None

    @contextmanager
    def turn(self) -> Iterator[None]:
        yield


class CudaStream:
    """A stream made by torch, given to ONNX Runtime, which would not take torch's default (0)."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.options: dict[str, Any] = {"user_compute_stream": str(self._stream.cuda_stream)}
        self.run_options = ort.RunOptions()
        # else a run ends with the host waiting for the GPU
        self.run_options.add_run_config_entry("disable_synchronize_execution_providers", "1")

    @contextmanager
    def turn(self) -> Iterator[None]:
        torchs = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(torchs)
        try:
            yield
        finally:
            torchs.wait_stream(self._stream)


def order_on(device: torch.device) -> Order:
    """The order of a session's runs on a device."""
    return CudaStream(device) if device.type == "cuda" else OneAfterTheOther()
