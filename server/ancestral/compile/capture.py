"""Capture a network's forward pass as a Graph.

`torch.export` comes first: it keeps composite operators (linear, layer_norm, attention) whole and
lengths symbolic. Modules it cannot take, such as those that write their weights in forward, are
traced by functionalised `make_fx`. Either way the graph is functional, in-place operators are
gone, and recurrent layers stand whole. Loops written out in Python make long graphs: items of one
size are then traced at batch one, as symbolic sizes cost milliseconds an operator.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import fx, nn
from torch.export import Dim, export
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from ancestral.compile.errors import CompileError
from ancestral.compile.graph import Graph, Node, Ref, refs
from ancestral.compile.whole import ATEN, canonical, recurrences_whole

Inputs = tuple[torch.Tensor, ...]

TRACING = threading.RLock()  # torch's tracers, and what they replace, are one per process
_LONG = 400  # operators of a forward pass beyond which it is traced at batch one
# The length that tracing may assume, for a shift by k asks that time − k is not 1. The graph holds
# for shorter items as well.
_SHORTEST = 16


def capture(
    module: nn.Module,
    example: Inputs,
    dynamic: Sequence[dict[int, str]] = (),
    longest: int | None = None,
) -> Graph:
    """Trace `module(*example)` into a Graph.

    `dynamic` gives, per input, the dimensions that may change and a name for each ("batch",
    "time"); equal names are equal sizes, "5 time" is five times as long. `longest` is the most
    that "time" may be.
    Raises CompileError when neither way of tracing works.
    """
    was_training = module.training
    module.eval()
    try:
        with TRACING, warnings.catch_warnings(), torch.no_grad(), recurrences_whole():
            warnings.simplefilter("ignore")
            try:
                if _only_batch(dynamic) and _operators(module, example) > _LONG:
                    return _one_item(module, example)
                return _by_export(module, example, dynamic, longest)
            except CompileError:
                raise
            except Exception as first:
                try:
                    return _at_any_batch(module, example)
                except Exception as second:
                    raise CompileError(
                        f"the forward pass cannot be traced: torch.export says {first!s:.500}; "
                        f"make_fx says {second!s:.500}"
                    ) from second
    finally:
        module.train(was_training)


def _by_export(
    module: nn.Module, example: Inputs, dynamic: Sequence[dict[int, str]], longest: int | None
) -> Graph:
    least: dict[str, int] = {}  # what an axis is the multiple of: its size, at most
    for x, axes in zip(example, dynamic, strict=False):
        for axis, name in axes.items():
            base = name.split()[-1]
            least[base] = min(x.shape[axis], least.get(base, _SHORTEST))
    # a table of as many positions is cut by every length but its own: the graph holds for it too
    most = {"time": None if longest is None else longest - 1}
    sizes: dict[str, Any] = {
        name: Dim(name, min=None if name == "batch" else size, max=most.get(name))
        for name, size in least.items()
    }

    def size(name: str) -> Any:
        *factor, base = name.split()
        return int(factor[0]) * sizes[base] if factor else sizes[base]

    shapes = tuple({axis: size(name) for axis, name in axes.items()} for axes in dynamic)
    wrapper = _Positional(module)
    program = export(
        wrapper, example, dynamic_shapes=((shapes,) if dynamic else None), strict=False
    )
    if dynamic or any(_writes(node) for node in program.graph.nodes):
        program = program.run_decompositions({})  # makes it functional
    signature = program.graph_signature
    state: dict[str, torch.Tensor] = {**program.state_dict, **program.constants}
    constants: dict[str, torch.Tensor] = {}
    for table in (
        signature.inputs_to_parameters,
        signature.inputs_to_buffers,
        signature.inputs_to_lifted_tensor_constants,
    ):
        constants.update({name: state[target].detach() for name, target in table.items()})
    return _convert(program.graph, constants, tuple(signature.user_inputs))


def _writes(node: fx.Node) -> bool:
    """Whether an operator changes its operands in place."""
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _only_batch(dynamic: Sequence[dict[int, str]]) -> bool:
    return all(set(axes.values()) <= {"batch"} for axes in dynamic)


class _Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operators that run under it."""

    count: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def _operators(module: nn.Module, example: Inputs) -> int:
    """How many operators a forward pass runs."""
    mode: _Count = _Count()  # type: ignore[no-untyped-call]
    with mode:
        module(*(value[:1] for value in example))
    return mode.count


def _one_item(module: nn.Module, example: Inputs) -> Graph:
    """The graph at batch one. Raises CompileError if items change with those beside them."""
    one = tuple(value[:1] for value in example)
    alone, together = module(*one), module(*example)[:1]
    if not torch.allclose(alone, together, rtol=1e-3, atol=1e-3):
        raise CompileError("an item's params depend on the other items of its batch")
    return replace(_by_export(module, one, (), None), batched=False)


def _at_any_batch(module: nn.Module, example: Inputs) -> Graph:
    """By make_fx; at batch one where its tracing has taken the example's batch for a constant."""
    graph = _by_make_fx(module, example)
    one = tuple(value[:1] for value in example)
    try:
        graph.run(list(one))
    except RuntimeError:
        return replace(_by_make_fx(module, one), batched=False)
    return graph


def _by_make_fx(module: nn.Module, example: Inputs) -> Graph:
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    names = list(state)

    def forward(weights: list[torch.Tensor], *inputs: torch.Tensor) -> Any:
        swapped = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(module, swapped, inputs)

    weights = [state[name].detach().clone() for name in names]
    traced = make_fx(torch.func.functionalize(forward), tracing_mode="symbolic")(weights, *example)
    placeholders = [n.name for n in traced.graph.nodes if n.op == "placeholder"]
    constants = dict(zip(placeholders, weights, strict=False))
    for node in traced.graph.nodes:
        if node.op == "get_attr":
            constants[node.name] = getattr(traced, str(node.target)).detach()
    return _convert(traced.graph, constants, tuple(placeholders[len(names) :]))


class _Positional(nn.Module):
    """A module whose inputs are all positional, whatever the wrapped forward calls them."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.module(*inputs)


def _convert(graph: fx.Graph, constants: dict[str, torch.Tensor], inputs: tuple[Any, ...]) -> Graph:
    nodes: list[Node] = []
    output = ""
    for node in graph.nodes:
        if node.op == "output":
            result = node.args[0]
            while isinstance(result, (list, tuple)):
                result = result[0]
            output = result.name
        elif node.op == "call_function":
            args = fx.map_arg(node.args, _ref)
            kwargs = fx.map_arg(dict(node.kwargs), _ref)
            name = _name_of(node.target)
            line = line_of(node.meta.get("stack_trace") or "")
            new = Node(node.name, name, _plain(args), _plain(kwargs), line)
            nodes.append(canonical(new))
    return Graph(tuple(str(name) for name in inputs), constants, _needed(nodes, output), output)


def _needed(nodes: list[Node], output: str) -> tuple[Node, ...]:
    """What the output follows from; write-backs of weights and assertions fall away."""
    wanted, kept = {output}, []
    for node in reversed(nodes):
        if node.name in wanted:
            kept.append(node)
            wanted.update(refs(node.args, tuple(node.kwargs.values())))
    return tuple(reversed(kept))


def _ref(node: fx.Node) -> Any:
    return Ref(node.name)


def _plain(value: Any) -> Any:
    """fx's immutable containers as the ordinary ones."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, tuple):
        return tuple(_plain(v) for v in value)
    return value


def _name_of(target: Any) -> str:
    if isinstance(target, torch._ops.OpOverload):
        return ATEN.get(str(target), str(target))
    return f"{getattr(target, '__module__', '').lstrip('_')}.{target.__name__}"


def line_of(stack_trace: str) -> str:
    """The last line of the model's own code in a node's stack trace: "file.py:20: code"."""
    lines = stack_trace.strip().splitlines()
    frames = [
        (lines[i].strip(), lines[i + 1].strip() if i + 1 < len(lines) else "")
        for i in range(len(lines))
        if lines[i].lstrip().startswith("File ")
    ]
    own = [f for f in frames if "/torch/" not in f[0] and '"torch/' not in f[0]] or frames
    if not own:
        return ""
    where, code = own[-1]
    parts = where.split('"')
    path = parts[1].rsplit("/", 1)[-1] if len(parts) > 1 else where
    line = where.split("line ")[-1].split(",")[0] if "line " in where else "?"
    return f"{path}:{line}: {code}"
