"""Writes in place, as values of their own: a graph from `torch.export` still holds `add_`, `copy_`
into slices, and views whose storage others write.

Every value is a storage or a chain of views of one. A write computes the new value of the view,
carries it back through the chain (slice becomes slice_scatter, transpose its inverse) into a new
value of the storage, and whoever reads another view of that storage afterwards reads it anew. Which
results share storage is not guessed: the graph is run once, and addresses of storages are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ancestral.compile.errors import CompileError
from ancestral.compile.graph import Graph, Node, Ref, map_refs, operator_of

_RESHAPES = ("view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "view_as",
             "reshape_as", "ravel", "_reshape_alias")  # fmt: skip
_SAME = ("alias", "detach", "contiguous", "to", "dropout", "feature_dropout", "lift_fresh",
         "expand_as", "expand", "positive", "type_as")  # fmt: skip


def without_writes(graph: Graph, example: Mapping[str, Any]) -> Graph:
    """The same function without writes; `example` are its values, run as it stands.

    Raises CompileError, naming the operator and its line, for a write that cannot be expressed.
    """
    return _Rewriter(graph, example).rewrite()


def writes(node: Node) -> bool:
    schema = getattr(operator_of(node.op), "_schema", None)  # arithmetic has none
    return schema is not None and bool(schema.is_mutable)


@dataclass
class _Storage:
    """What a storage holds now: the name of its latest value, and how often it was written."""

    name: str
    version: int = 0


@dataclass
class _Shown:
    """A value as views of a storage: the operators from it, and where it was last evaluated."""

    storage: _Storage
    chain: tuple[Node, ...]
    name: str
    version: int = 0


class _Rewriter:
    def __init__(self, graph: Graph, example: Mapping[str, Any]) -> None:
        self.graph, self.example = graph, example
        self.nodes: list[Node] = []
        self.shown: dict[str, _Shown] = {}
        self.lists: dict[str, Node] = {}  # results of split, chunk, unbind by name
        for name in (*graph.inputs, *graph.constants):
            self.shown[name] = _Shown(_Storage(name), (), name)

    def rewrite(self) -> Graph:
        for node in self.graph.nodes:
            if writes(node):
                self._write(node)
            elif self._is_view(node):
                self._view(node)
            else:
                self._emit_as(node, node.name)
                if isinstance(self.example[node.name], Tensor):
                    self.shown[node.name] = _Shown(_Storage(node.name), (), node.name)
        output = self._read(self.graph.output)
        return replace(self.graph, nodes=tuple(self.nodes), output=output)

    # ------------------------------------------------------------------ reading

    def _read(self, name: str) -> str:
        """The name of a value as it is now, evaluated anew where its storage was written since."""
        shown = self.shown.get(name)
        if shown is None or shown.version == shown.storage.version:
            return name if shown is None else shown.name
        shown.name = self._along(shown.storage.name, shown.chain)[-1]
        shown.version = shown.storage.version
        return shown.name

    def _along(self, name: str, chain: Sequence[Node]) -> list[str]:
        """A storage's value and what each view of a chain shows of it."""
        names = [name]
        for step in chain:
            if step.op == "operator.getitem":
                whole = self._emit(self.lists[step.args[0].name], names[-1])
                names.append(self._new("operator.getitem", (Ref(whole), step.args[1]), step.source))
            else:
                names.append(self._emit(step, names[-1]))
        return names

    def _emit(self, step: Node, base: str) -> str:
        return self._new(step.op, (Ref(base), *self._now(step.args[1:])), step.source, step.kwargs)

    def _new(
        self, op: str, args: tuple[Any, ...], source: str, kwargs: Mapping[str, Any] | None = None
    ) -> str:
        name = f"written_{len(self.nodes)}"
        self.nodes.append(Node(name, op, args, self._now(dict(kwargs or {})), source))
        return name

    def _emit_as(self, node: Node, name: str) -> None:
        args, kwargs = self._now(node.args), self._now(dict(node.kwargs))
        self.nodes.append(replace(node, name=name, args=args, kwargs=kwargs))

    def _now(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._now(item) for key, item in value.items()}
        return map_refs(value, lambda ref: Ref(self._read(ref.name)))

    # ------------------------------------------------------------------ views

    def _is_view(self, node: Node) -> bool:
        """Whether the result lies in the storage of the first operand."""
        if node.op == "operator.getitem" and node.args[0].name in self.lists:
            return True
        first = node.args[0] if node.args else None
        if not isinstance(first, Ref) or not isinstance(self.example[first.name], Tensor):
            return False
        found = self.example[node.name]
        one = found[0] if isinstance(found, (list, tuple)) and found else found
        return isinstance(one, Tensor) and _address(one) == _address(self.example[first.name])

    def _view(self, node: Node) -> None:
        if isinstance(self.example[node.name], (list, tuple)):
            self.lists[node.name] = node
            self._emit_as(node, node.name)
            return
        parent = node.args[0].name
        if node.op == "operator.getitem":
            parent = self.lists[parent].args[0].name
        base = self.shown[parent]
        if node.op == "operator.getitem" and base.version != base.storage.version:
            shown = _Shown(base.storage, (*base.chain, node), "", -1)
            self.shown[node.name] = shown
            self._read(node.name)
            return
        self._emit_as(node, node.name)
        self.shown[node.name] = _Shown(
            base.storage, (*base.chain, node), node.name, base.storage.version
        )

    # ------------------------------------------------------------------ writing

    def _write(self, node: Node) -> None:
        target = node.args[0].name
        if not node.op.split(".")[1].endswith("_") or target not in self.shown:
            raise self._refusal(node, "writes in a way that has no functional form")
        self._read(target)
        shown = self.shown[target]
        new = self._value(node, target)
        before = self._along(shown.storage.name, shown.chain[:-1]) if shown.chain else []
        for step, parent in zip(reversed(shown.chain), reversed(before), strict=True):
            new = self._back(step, parent, new)
        shown.storage.name = new
        shown.storage.version += 1
        self.shown[node.name] = shown

    def _value(self, node: Node, target: str) -> str:
        """What the written view holds afterwards."""
        packet = node.op.split(".")[1]
        if packet == "copy_" or node.op == "aten.fill_.Tensor":
            return self._copied(node, target)
        if packet in ("zero_", "fill_"):
            like = (Ref(self._read(target)), 0 if packet == "zero_" else node.args[1])
            return self._new("aten.full_like.default", like, node.source)
        op = ".".join(["aten", packet[:-1], *node.op.split(".")[2:]])
        try:
            operator_of(op)
        except (AttributeError, CompileError) as error:
            raise self._refusal(node, "has no functional form") from error
        return self._new(op, self._now(node.args), node.source, node.kwargs)

    def _copied(self, node: Node, target: str) -> str:
        here, source = self.example[target], self.example[node.args[1].name]
        name = self._read(node.args[1].name)
        if source.dtype != here.dtype:
            name = self._new("aten.to.dtype", (Ref(name), here.dtype), node.source)
        if source.shape != here.shape:
            sizes = self._sizes(self._read(target), here.dim(), node.source)
            name = self._new("aten.expand.default", (Ref(name), sizes), node.source)
        return name

    def _sizes(self, name: str, rank: int, source: str) -> list[Ref]:
        return [
            Ref(self._new("aten.sym_size.int", (Ref(name), axis), source)) for axis in range(rank)
        ]

    def _back(self, step: Node, parent: str, new: str) -> str:
        """The value of what a view was taken of, given the view's new value."""
        name = step.op.split(".")[1]
        args = self._now(step.args[1:])
        source = step.source
        if step.op == "operator.getitem":
            return self._part_back(step, parent, new)
        if name in ("slice", "select", "diagonal"):
            op = f"aten.{name}_scatter.default"
            return self._new(op, (Ref(parent), Ref(new), *args), source)
        if name == "narrow":
            dim, start, length = args
            if not isinstance(start, int) or not isinstance(length, int):
                raise self._refusal(step, "is written through, and its bounds are not numbers")
            where = (Ref(parent), Ref(new), dim, start, start + length)
            return self._new("aten.slice_scatter.default", where, source)
        if name == "unsqueeze":
            return self._new("aten.squeeze.dim", (Ref(new), args[0]), source)
        if name in ("transpose", "t", "swapaxes", "swapdims"):
            return self._new(step.op, (Ref(new), *args), source)
        if name in ("permute", "movedim", "moveaxis"):
            return self._permuted_back(step, args, new)
        if name in _SAME and self.example[step.name].shape == self._shape_before(step):
            return new
        if name in _RESHAPES:
            sizes = self._sizes(parent, len(self._shape_before(step)), source)
            return self._new("aten.view.default", (Ref(new), sizes), source)
        raise self._refusal(step, "is a view that is written through, which has no inverse here")

    def _shape_before(self, step: Node) -> tuple[int, ...]:
        return tuple(self.example[step.args[0].name].shape)

    def _permuted_back(self, step: Node, args: tuple[Any, ...], new: str) -> str:
        if step.op.startswith("aten.permute"):
            rank = len(args[0])
            order = [d % rank for d in args[0]]
            inverse = sorted(range(rank), key=lambda d: order[d])
            return self._new(step.op, (Ref(new), inverse), step.source)
        return self._new(step.op, (Ref(new), args[1], args[0]), step.source)

    def _part_back(self, step: Node, parent: str, new: str) -> str:
        """Into one of the parts of split, chunk or unbind."""
        whole = self.lists[step.args[0].name]
        index = step.args[1]
        parts = self.example[whole.name]
        unbind = whole.packet == "aten.unbind"
        default = whole.args[1] if unbind and len(whole.args) > 1 else 0
        dim = default if unbind else (whole.args[2] if len(whole.args) > 2 else 0)
        dim = whole.kwargs.get("dim", dim)
        if unbind:
            where: tuple[Any, ...] = (Ref(parent), Ref(new), dim, index)
            return self._new("aten.select_scatter.default", where, step.source)
        start = sum(part.shape[dim] for part in parts[:index])
        where = (Ref(parent), Ref(new), dim, start, start + parts[index].shape[dim])
        return self._new("aten.slice_scatter.default", where, step.source)

    def _refusal(self, node: Node, reason: str) -> CompileError:
        at = f" (at {node.source})" if node.source else ""
        return CompileError(f"operator {node.op} {node.name} {reason}{at}")


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
