"""A GPU that is not there: every tensor of a recording lies where it should.

Fake tensors have a device, a type and a shape, and refuse operators whose operands lie apart.
Torch's own bindings for indices and copies ask a CUDA driver first, so these are spelled out as
operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from tests.runtimes.test_native import case
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

from ancestral.compile import ElementProgram, StepProgram
from ancestral.runtimes.base import SlotRequest
from ancestral.runtimes.cuda.batch import CudaBatch
from ancestral.runtimes.cuda.capture import Calls
from ancestral.runtimes.cuda.elements import CudaElements

aten = torch.ops.aten
MORE = [
    pytest.param(name, marks=pytest.mark.slow)
    for name in ("pixelcnn", "gpt", "colour", "lstm", "gru", "nade")
]


class WithoutDriver(TorchFunctionMode):  # type: ignore[no-untyped-call]
    """Indices, copies and literals as operators."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = dict(kwargs or {})
        if func is Tensor.__getitem__:
            view, index = _views(*args)
            return aten.index(view, index) if index else view
        if func is Tensor.__setitem__:
            view, index = _views(args[0], args[1])
            values = args[2]
            if not isinstance(values, Tensor):
                values = torch.full((), values, dtype=view.dtype, device=view.device)
            if index:
                return aten.index_put_(view, index, values.to(view.dtype))
            return aten.copy_(view, values.to(view.device))
        if func is Tensor.copy_:
            return aten.copy_(args[0], args[1].to(args[0].device))
        if func is torch.tensor:
            device = given.pop("device", None)
            return func(*args, **given).to(device or "cpu")
        return func(*args, **given)


def _views(x: Tensor, index: Any) -> tuple[Tensor, Sequence[Tensor | None]]:
    """Numbers, slices and new axes of an index done; what remains are tensors."""
    parts = index if isinstance(index, tuple) else (index,)
    used = sum(part is not None and part is not Ellipsis for part in parts)
    rest: list[Tensor | None] = []
    axis = 0
    for part in parts:
        if part is Ellipsis:
            axis += x.dim() - used
            rest += [None] * (x.dim() - used)
        elif isinstance(part, int):
            x = aten.select(x, axis, part)
        else:
            if part is None:
                x = aten.unsqueeze(x, axis)
            elif isinstance(part, slice):
                x = aten.slice(x, axis, part.start, part.stop, part.step or 1)
            rest.append(part if isinstance(part, Tensor) else None)
            axis += 1
    return x, rest if any(part is not None for part in rest) else []


@pytest.mark.filterwarnings("ignore:Accessing the data pointer")
@pytest.mark.parametrize("name", ["wavenet", *MORE])
def test_a_recording_lies_on_one_device(name: str) -> None:
    net, program, sites = case(name)
    assert isinstance(program, StepProgram)
    dims, grid = net.data.dims_per_site, program.space == "grid"
    with FakeTensorMode(allow_non_fake_inputs=True), WithoutDriver():
        device = torch.device("cuda:0")
        batch = CudaBatch(program, net.likelihood, dims, 2, torch.float32, device, Calls())
        blank = torch.zeros(1, sites, dims, dtype=torch.int64)
        codes = net.data.from_sites(blank).to(device)
        batch.open((), codes, program.columns if grid else sites // 2, sites)
        batch.settle()
        batch.draws([SlotRequest(seed=1, item=0, sites=sites)])
        batch._record((1, 2, False, True, False))()
        if grid:
            batch._record((1, 1, True, False, False))()
        for store in batch.state(1).stores.values():
            assert store.device == device


@pytest.mark.filterwarnings("ignore:Accessing the data pointer")
def test_a_recording_over_elements_lies_on_one_device() -> None:
    net, program, sites = case("made")
    assert isinstance(program, ElementProgram)
    dims = net.data.dims_per_site
    with FakeTensorMode(allow_non_fake_inputs=True), WithoutDriver():
        device = torch.device("cuda:0")
        batch = CudaElements(program, net.likelihood, dims, 2, device, Calls())
        batch.draws([SlotRequest(seed=1, item=0, sites=sites)])
        batch._record((1, 0, min(sites, program.columns), False, False))()
        batch._record((1, sites - 1, 1, True, False))()
        assert batch._arena.device == device
