"""Operators that torch itself writes as others, taken apart as torch does.

`torch.export` keeps such an operator whole: a cell of an LSTM, `x.mT`, `torch.hstack`. Its own
decomposition is run on the example and noted down, call by call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ancestral.compile.graph import Ref, operator_of
from ancestral.compile.rewriter import Rewriter, Rewriting

NAMES = """
gru_cell lstm_cell rnn_tanh_cell rnn_relu_cell mT mH adjoint numpy_T matrix_H moveaxis swapdims
multiply divide true_divide subtract negative absolute clip fix greater greater_equal less
less_equal not_equal arctan arctan2 arcsin arccos arcsinh arccosh arctanh concatenate row_stack
column_stack hstack vstack dstack hsplit vsplit dsplit outer ger inner take_along_dim fliplr flipud
float_power linalg_matmul linalg_norm special_expit special_softmax special_log_softmax
special_logit special_xlogy cosine_similarity pairwise_distance unsafe_chunk
__and__ __or__ __xor__
"""
_SIZED = ("view", "_unsafe_view", "reshape", "expand", "slice", "narrow", "split_with_sizes")


def composite(r: Rewriter, *args: Any, **kwargs: Any) -> Ref | tuple[Ref, ...]:
    """The node as what torch makes of it; its parts, where there are several.

    Raises ValueError where the decomposition holds the example's batch or makes tensors of its own.
    """
    recorder = _Recorder(r)
    given = recorder.values(args), recorder.values(kwargs)
    with torch.no_grad(), recorder:
        found = operator_of(r.node.op)(*given[0], **given[1])
    if isinstance(found, Tensor):
        return recorder.ref(found)
    return tuple(recorder.ref(part) for part in found)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Emits each operator that is called, its tensors named by the operator that made them."""

    def __init__(self, rewriter: Rewriter) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rewriter = rewriter
        self._refs: dict[int, Ref] = {}
        self._kept: list[Tensor] = []  # an id is a tensor's as long as it lives

    def ref(self, tensor: Tensor) -> Ref:
        if id(tensor) not in self._refs:
            raise ValueError("a tensor of the decomposition's own")
        return self._refs[id(tensor)]

    def values(self, value: Any) -> Any:
        """Arguments of the node as tensors of the example."""
        if isinstance(value, Ref):
            found = self.rewriter.example(value)
            return self._named(found.clone(), value) if isinstance(found, Tensor) else found
        if isinstance(value, Mapping):
            return {key: self.values(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.values(item) for item in value]
        return value

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        found = func(*args, **kwargs)
        op = str(func)
        if func._schema.is_mutable:  # what was written is another value from here on
            op = ".".join([f"aten.{op.split('.')[1].removesuffix('_')}", *op.split(".")[2:]])
        if op.split(".")[1] in _SIZED and self.rewriter.batch in _numbers(args):
            raise ValueError("a decomposition that holds the example's batch")
        made = self.rewriter.emit(op, *self._references(args), **self._references(kwargs))
        if isinstance(found, Tensor):
            return self._named(found, made)
        for number, part in enumerate(found):
            self._named(part, self.rewriter.emit("operator.getitem", made, number))
        return found

    def _named(self, tensor: Tensor, ref: Ref) -> Tensor:
        self._refs[id(tensor)] = ref
        self._kept.append(tensor)
        return tensor

    def _references(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.ref(value)
        if isinstance(value, dict):
            return {key: self._references(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._references(item) for item in value]
        return value


def _numbers(value: Any) -> list[int]:
    if isinstance(value, (list, tuple)):
        return [number for item in value for number in _numbers(item)]
    return [value] if isinstance(value, int) and not isinstance(value, bool) else []


COMPOSITE: dict[str, Rewriting] = {f"aten.{name}": composite for name in NAMES.split()}
