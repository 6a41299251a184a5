"""ONNX Runtime: a session on the CPU or a GPU, its inputs and outputs bound to tensors in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx
import onnxruntime as ort
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors
from torch import Tensor

from ancestral.runtimes.onnx.streams import Order, order_on
from ancestral.runtimes.onnx.writer import Unwritten

_QUIET = 3  # errors only: inputs with defaults are meant
_TYPES = {
    "tensor(float)": torch.float32,
    "tensor(double)": torch.float64,
    "tensor(int64)": torch.int64,
    "tensor(bool)": torch.bool,
}


class DeviceMissing(ValueError):
    """The device asked for has no provider here; the message says what to install."""


def providers(device: torch.device, more: Mapping[str, Any] | None = None) -> list[Any]:
    """The providers for a device, the first with `more` options. Raises DeviceMissing."""
    if device.type == "cpu":
        return ["CPUExecutionProvider"]
    if device.type != "cuda" or "CUDAExecutionProvider" not in ort.get_available_providers():
        raise DeviceMissing(
            f"device {device}: ONNX Runtime has no provider for it here; "
            "pip install ancestral[gpu] on a machine with an NVIDIA GPU"
        )
    options = {"device_id": device.index or 0, **(more or {})}
    return [("CUDAExecutionProvider", options), "CPUExecutionProvider"]


class Session:
    """A graph ready to run; `threads` share an operator (0: as many as there are cores)."""

    def __init__(self, model: onnx.ModelProto, device: torch.device, *, threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = _QUIET
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # what waits for work sleeps: other models share the cores
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers(device)  # before anything is asked of a GPU
        self._order = order_on(device)
        try:
            self._session = ort.InferenceSession(
                model.SerializeToString(),
                options,
                providers=providers(device, self._order.options),
            )
        except ort_errors.NotImplemented as error:
            raise Unwritten(f"ONNX Runtime: {error}") from error
        self.device = device
        self.inputs = {i.name: _TYPES[i.type] for i in self._session.get_inputs()}
        self.outputs = [o.name for o in self._session.get_outputs()]

    def bound(self, given: Mapping[str, Tensor], results: Mapping[str, Tensor]) -> Bound:
        """A run on these very tensors, which must stay where they are.

        `results` not named are allocated by the runtime. One tensor may be given and a result.
        """
        binding = self._session.io_binding()
        kept: list[Tensor] = []
        for name, dtype in self.inputs.items():
            if name in given:
                tensor = given[name]
                assert tensor.dtype == dtype, (name, tensor.dtype, dtype)
                binding.bind_input(name, *self._where(tensor))
                kept.append(tensor)
        for name in self.outputs:
            tensor = results[name]
            binding.bind_output(name, *self._where(tensor))
            kept.append(tensor)
        return Bound(self._session, binding, kept, self._order)

    def run(self, given: Mapping[str, Tensor]) -> list[Tensor]:
        """A run on copies: the outputs in order, on the CPU."""
        arrays = {name: given[name].cpu().numpy() for name in self.inputs if name in given}
        return [torch.from_numpy(array) for array in self._session.run(None, arrays)]

    def _where(self, tensor: Tensor) -> tuple[Any, ...]:
        assert tensor.is_contiguous()
        kind = torch.empty(0, dtype=tensor.dtype).numpy().dtype.type
        index = tensor.device.index or 0
        return tensor.device.type, index, kind, tuple(tensor.shape), tensor.data_ptr()


class Bound:
    """A session with everything bound, run in torch's order."""

    def __init__(self, session: Any, binding: Any, kept: list[Tensor], order: Order) -> None:
        self._binding, self._kept, self._order = binding, kept, order
        self._run = session.run_with_iobinding

    def run(self) -> None:
        with self._order.turn():
            self._run(self._binding, self._order.run_options)
