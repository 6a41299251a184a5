"""Which runtime samples a model: the one asked for, or the next that can.

native runs a step program in compiled code, in float32; onnx by ONNX Runtime, in float32, and
scores by it, too; reference in torch operators, in float64; naive re-runs the forward pass for
every site and needs no program. On a GPU, cuda stands for native and reference: captured graphs in
float32, or less; on the CPU, where tests ask for it, it calls what it would capture.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import Literal
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from ancestral.compile import Program
from ancestral.models.network import Network
from ancestral.runtimes.base import Runtime
from ancestral.runtimes.cuda.runtime import CudaRuntime, Precision, checked_device
from ancestral.runtimes.naive import NaiveRuntime
from ancestral.runtimes.reference import ReferenceRuntime
from ancestral.runtimes.spread import SpreadRuntime

RuntimeKind = Literal["native", "cuda", "onnx", "reference", "naive"]

KINDS: dict[str, RuntimeKind] = {
    "native": "native",
    "cuda": "cuda",
    "onnx": "onnx",
    "reference": "reference",
    "naive": "naive",
}

log = logging.getLogger(__name__)
_TOLD: WeakSet[Program] = WeakSet()  # programs of which the log has said what is missing


@dataclass(frozen=True, slots=True)
class Place:
    """Where networks run, and how precisely products are computed on a GPU."""

    device: str = "cpu"
    precision: Precision = "float32"


def runtime_kind(name: str, device: str = "cpu") -> RuntimeKind:
    """The kind of that name, on a device. Raises ValueError for any other, or no such device."""
    if name not in KINDS:
        raise ValueError(f"runtime must be one of {', '.join(KINDS)}, not {name}")
    on_gpu = device != "cpu" and checked_device(device).type != "cpu"
    return "cuda" if on_gpu and name in ("native", "reference") else KINDS[name]


def new_runtime(
    kind: RuntimeKind,
    program: Program | None,
    network: Network,
    slots: int,
    order: npt.NDArray[np.int64] | None,
    cores: int = 1,
    place: Place | None = None,
) -> Runtime:
    """A runtime of that kind with an empty running batch, native ones spread over `cores`.

    Without a program it is naive; where native or onnx lacks an operation it is the
    reference, and the log says which. The runtime's `name` says which it became.
    """
    place = place or Place()
    if program is None or kind == "naive":
        return NaiveRuntime(network, slots, order=order, device=place.device)
    if kind == "native":
        # Numba takes a second to import; only who samples natively waits for it
        from ancestral.runtimes.native.lower.errors import Unsupported
        from ancestral.runtimes.native.runtime import NativeRuntime

        try:
            if min(cores, slots) > 1:
                return SpreadRuntime(slots, cores, partial(NativeRuntime, program, network))
            return NativeRuntime(program, network, slots)
        except Unsupported as reason:
            _tell(program, f"native has no rule for {reason}")
    if kind == "onnx":
        from ancestral.runtimes.onnx.runtime import OnnxRuntime
        from ancestral.runtimes.onnx.writer import Unwritten

        try:
            return OnnxRuntime(program, network, slots, device=place.device)
        except Unwritten as reason:
            _tell(program, f"ONNX has no form of {reason}")
    if kind == "cuda":
        return CudaRuntime(program, network, slots, device=place.device, precision=place.precision)
    return ReferenceRuntime(program, network, slots, device=place.device)


def _tell(program: Program, reason: str) -> None:
    """Say once of a program why another runtime stands in."""
    if program not in _TOLD:
        _TOLD.add(program)
        log.warning("the reference runtime samples: %s", reason)


def runtime_of(kind: RuntimeKind, program: Program | None, network: Network) -> RuntimeKind:
    """The kind that `new_runtime` gives."""
    if program is None or kind == "naive":
        return "naive"
    if kind == "native":
        from ancestral.runtimes.native.runtime import unsupported

        return "reference" if unsupported(program, network) else "native"
    if kind == "onnx":
        from ancestral.runtimes.onnx.runtime import unsupported as unwritten

        return "reference" if unwritten(program, network) else "onnx"
    return kind
