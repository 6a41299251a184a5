"""A captured forward pass: ATen operators in order, weights as data, sizes as integers or symbols.

The graph is data. It can be run at any batch size and length it was captured for, in any floating
point precision, and it can be asked for intermediate values, which is what prefill needs.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ancestral.compile.checked import checked
from ancestral.compile.errors import UnsupportedOperator

ARITHMETIC: dict[str, Callable[..., Any]] = {
    f"operator.{name}": getattr(operator, name)
    for name in ("add", "sub", "mul", "floordiv", "mod", "neg", "truediv", "getitem", "pow")
} | {
    "torch.sym_float": torch.sym_float,
    "torch.sym_int": torch.sym_int,
    "torch.sym_max": torch.sym_max,
    "torch.sym_min": torch.sym_min,
    "math.ceil": math.ceil,
    "math.floor": math.floor,
    "math.trunc": math.trunc,
}


@dataclass(frozen=True, slots=True)
class Ref:
    """The value of a named node, input or constant."""

    name: str


@dataclass(frozen=True, slots=True)
class Node:
    """One operator: `op` is an ATen overload ("aten.conv1d.default") or integer arithmetic."""

    name: str
    op: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""

    @property
    def packet(self) -> str:
        """The operator without its overload: "aten.conv1d"."""
        return ".".join(self.op.split(".")[:2])


def map_refs(value: Any, replace: Callable[[Ref], Any]) -> Any:
    """`value` with every Ref inside nested lists and tuples replaced."""
    if isinstance(value, Ref):
        return replace(value)
    if isinstance(value, (list, tuple)):
        return type(value)(map_refs(item, replace) for item in value)
    return value


def refs(*values: Any) -> list[str]:
    """The names referred to inside nested arguments, in order."""
    found: list[str] = []
    for value in values:
        map_refs(value, lambda ref: found.append(ref.name))
    return found


def operator_of(op: str) -> Callable[..., Any]:
    """The callable behind an operator's name; only ATen and integer arithmetic are known."""
    if op in ARITHMETIC:
        return ARITHMETIC[op]
    if op == "aten.view.default":  # strides are those of the device that it was captured on
        op = "aten.reshape.default"
    space, _, name = op.partition(".")
    packet, _, overload = name.partition(".")
    if space != "aten" or not hasattr(torch.ops.aten, packet):
        raise UnsupportedOperator(op, "")
    return checked(op, getattr(getattr(torch.ops.aten, packet), overload or "default"))


def _with_dtype(node: Node, dtype: torch.dtype) -> Mapping[str, Any]:
    """The keywords of a node; one that makes real numbers of no stated type is told `dtype`."""
    name = node.packet.removeprefix("aten.")
    if node.kwargs.get("dtype") is not None:
        return node.kwargs
    makes = name in ("zeros", "ones", "eye", "linspace", "logspace")
    if name in ("full", "scalar_tensor"):
        makes = isinstance(node.args[-1], float)
    elif name == "arange":
        makes = any(isinstance(arg, float) for arg in node.args)
    return {**node.kwargs, "dtype": dtype} if makes else node.kwargs


@dataclass(frozen=True)
class Graph:
    """A forward pass: codes and conditions in, params out.

    `inputs[0]` names the codes, the rest the conditions. `constants` are weights and buffers.
    It runs at any batch size, or, not `batched`, at batch one.
    """

    inputs: tuple[str, ...]
    constants: Mapping[str, torch.Tensor]
    nodes: tuple[Node, ...]
    output: str
    batched: bool = True

    def run(
        self, inputs: Sequence[torch.Tensor | None], outputs: Iterable[str] | None = None
    ) -> dict[str, Any]:
        """Evaluate the named nodes (the params alone by default) and only what they need."""
        wanted = set(outputs) if outputs is not None else {self.output}
        env: dict[str, Any] = dict(zip(self.inputs, inputs, strict=True))
        env.update(self.constants)
        needed, last_use = self._needed(wanted)
        with torch.inference_mode():
            for node in self.nodes:
                if node.name not in needed:
                    continue

                def value(ref: Ref) -> Any:
                    return env[ref.name]

                args = map_refs(node.args, value)
                kwargs = {k: map_refs(v, value) for k, v in node.kwargs.items()}
                env[node.name] = operator_of(node.op)(*args, **kwargs)
                for name in last_use.get(node.name, ()):
                    if name not in wanted and name not in self.constants:
                        del env[name]
        return {name: env[name] for name in wanted}

    def _needed(self, wanted: set[str]) -> tuple[set[str], dict[str, list[str]]]:
        """The nodes behind `wanted`, and for each node the values read for the last time by it."""
        needed = set(wanted)
        last_use: dict[str, list[str]] = {}
        seen: set[str] = set()
        for node in reversed(self.nodes):
            if node.name not in needed:
                continue
            for name in refs(node.args, tuple(node.kwargs.values())):
                needed.add(name)
                if name not in seen:
                    seen.add(name)
                    last_use.setdefault(node.name, []).append(name)
        return needed, last_use

    def folded(self) -> Graph:
        """The same graph with whatever follows from the weights alone computed once."""
        constants = dict(self.constants)
        kept: list[Node] = []
        with torch.inference_mode():
            for node in self.nodes:
                names = refs(node.args, tuple(node.kwargs.values()))
                if node.name == self.output or any(name not in constants for name in names):
                    kept.append(node)
                    continue

                def value(ref: Ref) -> Any:
                    return constants[ref.name]

                kwargs = {k: map_refs(v, value) for k, v in node.kwargs.items()}
                constants[node.name] = operator_of(node.op)(*map_refs(node.args, value), **kwargs)
        return replace(self, constants=constants, nodes=tuple(kept))

    def to(self, dtype: torch.dtype, device: torch.device | str = "cpu") -> Graph:
        """The same graph in another floating-point precision, on another device."""

        def convert(value: Any) -> Any:
            if isinstance(value, (list, tuple)):
                return type(value)(convert(item) for item in value)
            if isinstance(value, torch.dtype) and value.is_floating_point:
                return dtype
            if isinstance(value, torch.device):
                return torch.device(device)
            return value

        constants = {
            name: t.to(device, dtype if t.is_floating_point() else t.dtype)
            for name, t in self.constants.items()
        }
        nodes = tuple(
            Node(
                n.name,
                n.op,
                convert(n.args),
                {k: convert(v) for k, v in _with_dtype(n, dtype).items()},
                n.source,
            )
            for n in self.nodes
        )
        return replace(self, constants=constants, nodes=nodes)
