"""ATen operators written as an ONNX graph: the writer, and the table that its rules register in.

A rule gets the writer and the operator's arguments by their names in ATen's schema, defaults filled
in, and gives the name of the ONNX value, or a list of names. Rules lie beside this file, by theme.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from ancestral.compile.graph import Node, Ref

OPSET = 20
INT_MAX = 2**63 - 1
TYPES: dict[torch.dtype, int] = {
    torch.float32: TensorProto.FLOAT,
    torch.float64: TensorProto.DOUBLE,
    torch.float16: TensorProto.FLOAT16,
    torch.bfloat16: TensorProto.BFLOAT16,
    torch.int64: TensorProto.INT64,
    torch.int32: TensorProto.INT32,
    torch.uint8: TensorProto.UINT8,
    torch.int8: TensorProto.INT8,
    torch.bool: TensorProto.BOOL,
}

Args = Mapping[str, Any]
Rule = Callable[["Writer", Args], Any]
RULES: dict[str, Rule] = {}


class Unwritten(Exception):
    """An operator that no rule writes as ONNX; the message names it."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for ATen operators, by packet ("add") or overload ("sort.stable")."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


class Writer:
    """Collects nodes and initializers; `examples` have the type and rank of every value."""

    def __init__(self, constants: Mapping[str, Tensor], examples: Mapping[str, Any]) -> None:
        self.examples = dict(examples)
        self._weights = constants
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._small: dict[tuple[bytes, str, tuple[int, ...]], str] = {}
        self._values: dict[str, Any] = {}
        self._count = 0
        self.result: Any = None  # an example of what the operator at hand gives

    # ------------------------------------------------------------------ emitting

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """One ONNX operator: the name of its output, or a list of them where there are several."""
        names = [self._fresh(kind) for _ in range(outputs)]
        self._nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, value: npt.ArrayLike | Tensor, dtype: torch.dtype | None = None) -> str:
        """An initializer; small ones are shared."""
        tensor = value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
        array = tensor.to(dtype or tensor.dtype).detach().cpu().contiguous().numpy()
        key = (array.tobytes(), str(array.dtype), array.shape)
        if array.size <= 64 and key in self._small:
            return self._small[key]
        name = self._fresh("constant")
        self._initializers[name] = numpy_helper.from_array(array, name)
        self._small[key] = name
        return name

    def _fresh(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"

    # ------------------------------------------------------------------ operands

    def bind(self, name: str, value: Any) -> None:
        """What a node's name stands for from now on."""
        self._values[name] = value

    def value(self, ref: Ref) -> Any:
        if ref.name not in self._values:
            self._values[ref.name] = self.constant(self._weights[ref.name])
        return self._values[ref.name]

    def example(self, value: Any) -> Any:
        return self.examples[value.name] if isinstance(value, Ref) else value

    def weight(self, value: Any) -> Tensor | None:
        """The tensor behind a Ref to a constant."""
        return self._weights.get(value.name) if isinstance(value, Ref) else None

    def dtype(self, value: Any) -> torch.dtype:
        found = self.example(value)
        return found.dtype if isinstance(found, Tensor) else torch.as_tensor(found).dtype

    def rank(self, value: Any) -> int:
        found = self.example(value)
        return found.dim() if isinstance(found, Tensor) else 0

    def size(self, value: Any, axis: int) -> int:
        """A size that is the same for every batch and length."""
        return int(self.example(value).shape[axis])

    def tensor(self, value: Any, dtype: torch.dtype | None = None) -> str:
        """An operand's name, cast where its type is another; numbers become initializers."""
        if isinstance(value, Ref):
            name = self.value(value)
            return name if dtype in (None, self.dtype(value)) else self.cast(name, dtype)
        return self.constant(torch.as_tensor(value), dtype)

    def cast(self, name: str, dtype: torch.dtype | None) -> str:
        return str(self.op("Cast", name, to=TYPES[dtype or torch.float32]))

    def ints(self, values: Sequence[Any]) -> str:
        """Sizes or positions, numbers and computed ones, as one int64 vector."""
        if not any(isinstance(v, Ref) for v in values):
            return self.constant(np.array(values, dtype=np.int64))
        parts = [
            self.op("Reshape", self.value(v), self.constant(np.array([1])))
            if isinstance(v, Ref)
            else self.constant(np.array([v], dtype=np.int64))
            for v in values
        ]
        return str(self.op("Concat", *parts, axis=0)) if len(parts) > 1 else parts[0]

    def axes(self, *axes: int) -> str:
        return self.constant(np.array(axes, dtype=np.int64))

    def unsqueezed(self, name: str, *axes: int) -> str:
        return str(self.op("Unsqueeze", name, self.axes(*axes)))

    # ------------------------------------------------------------------ nodes

    def write(self, node: Node) -> None:
        """One operator. Raises Unwritten naming it."""
        name = node.op.removeprefix("aten.")
        found = RULES.get(name) or RULES.get(name.split(".")[0])
        if found is None:
            raise Unwritten(node.op)
        self.result = self.examples[node.name]
        try:
            self.bind(node.name, found(self, _bound(node)))
        except (KeyError, TypeError, NotImplementedError) as error:
            raise Unwritten(f"{node.op} ({error})") from error

    def model(
        self,
        inputs: Mapping[str, tuple[str, Sequence[str | int]]],
        outputs: Mapping[str, tuple[str, Sequence[str | int]]],
        defaults: Mapping[str, Tensor] | None = None,
    ) -> onnx.ModelProto:
        """The graph. `inputs`: node -> (name, shape); `outputs`: name -> (node, shape).

        An input of `defaults` need not be given.
        """
        renames = {self._values[node]: name for node, (name, _) in inputs.items()}
        for name, (node, _) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [self._values[node]], [name]))
        nodes = _needed(_direct(self._nodes, outputs), outputs)
        for node_proto in nodes:
            for at, used in enumerate(node_proto.input):
                node_proto.input[at] = renames.get(used, used)
        used = {name for n in nodes for name in n.input}
        given = [
            helper.make_tensor_value_info(name, TYPES[self.examples[node].dtype], list(shape))
            for node, (name, shape) in inputs.items()
            if name in used
        ]
        made = [
            helper.make_tensor_value_info(name, TYPES[self.examples[node].dtype], list(shape))
            for name, (node, shape) in outputs.items()
        ]
        stored = [p for name, p in self._initializers.items() if name in used]
        stored += [
            numpy_helper.from_array(t.contiguous().numpy(), name)
            for name, t in (defaults or {}).items()
            if name in used
        ]
        graph = helper.make_graph(nodes, "ancestral", given, made, stored)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = 10
        return model


def _bound(node: Node) -> dict[str, Any]:
    """Arguments by their names, and the defaults of those not given."""
    if not node.op.startswith("aten."):
        return {"args": node.args, "op": node.op, **node.kwargs}
    _, packet, overload = node.op.split(".")
    schema = getattr(getattr(torch.ops.aten, packet), overload)._schema
    found = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}
    found |= {a.name: value for a, value in zip(schema.arguments, node.args, strict=False)}
    return {**found, **node.kwargs, "op": node.op}


def _direct(nodes: list[onnx.NodeProto], outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """Without the Identity before an output, where a node's only name can be the output's."""
    wanted = set(outputs)
    by_output = {name: n for n in nodes for name in n.output}
    dropped: set[int] = set()
    renames: dict[str, str] = {}
    for node in nodes:
        if node.op_type == "Identity" and node.output[0] in wanted:
            source = node.input[0]
            if source in by_output and source not in renames:
                renames[source] = node.output[0]
                dropped.add(id(node))
    kept = [n for n in nodes if id(n) not in dropped]
    for node in kept:
        for names in (node.input, node.output):
            for at, name in enumerate(names):
                names[at] = renames.get(name, name)
    return kept


def _needed(nodes: list[onnx.NodeProto], outputs: Iterable[str]) -> list[onnx.NodeProto]:
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(node.input)
    return kept[::-1]
