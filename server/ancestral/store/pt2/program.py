"""A `.pt2` file as a Graph: the exported program's JSON (torch/_export/serde/schema.py, version 8).

What is read is data: names of operators, numbers, references. Whether an operator may be run is
decided afterwards, by `compile.operators`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ancestral.compile.capture import line_of
from ancestral.compile.graph import Graph, Node, Ref
from ancestral.compile.whole import canonical
from ancestral.store.errors import PackageError
from ancestral.store.pt2.archive import DTYPES, Archive
from ancestral.store.pt2.arguments import Arguments

Size = int | str  # a number, or the expression of a symbol

_SCHEMA = 8


@dataclass(frozen=True, slots=True)
class Meta:
    """What an exported value is: its type and its sizes, symbols as their expressions."""

    dtype: torch.dtype
    sizes: tuple[Size, ...]


@dataclass(frozen=True)
class Exported:
    """An exported program as it was written: not yet functional, operators not yet checked.

    `hints` are the sizes that the symbols had in the example; `limits` their largest values.
    """

    graph: Graph
    metas: Mapping[str, Meta]
    hints: Mapping[str, int]
    limits: Mapping[str, int]


def read_pt2(file: Path) -> Exported:
    """The program of a `.pt2` file, its weights as constants named p_…, b_… and c_….

    Raises PackageError, naming the file and the entry, for whatever is not as torch writes it.
    """
    with Archive(file) as archive:
        entry = archive.only("models/", ".json")
        document = archive.document(entry)
        weights = archive.tensors("data/weights/")
        constants = archive.tensors("data/constants/")
        try:
            version = document["schema_version"]["major"]
            if version != _SCHEMA:
                raise archive.error(entry, f"has schema {version}; {_SCHEMA} is known")
            return _Reader(archive, entry, document["graph_module"]).read(
                weights, constants, document.get("range_constraints") or {}
            )
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
            if isinstance(error, PackageError):
                raise
            raise archive.error(entry, f"is not an exported program ({error!r})") from error
        except RecursionError as error:
            raise archive.error(entry, "is nested too deeply") from error


class _Reader:
    def __init__(self, archive: Archive, entry: str, module: Mapping[str, Any]) -> None:
        self.archive, self.entry = archive, entry
        self.graph = module["graph"]
        self.signature = module["signature"]
        self.nodes: list[Node] = []
        self.metas: dict[str, Meta] = {}
        self.hints: dict[str, int] = {}
        self.known: set[str] = set()
        self.arguments = Arguments(self.known, self.refuse)

    def refuse(self, message: str) -> PackageError:
        return self.archive.error(self.entry, message)

    def read(
        self,
        weights: Mapping[str, Tensor],
        constants: Mapping[str, Tensor],
        ranges: Mapping[str, Any],
    ) -> Exported:
        inputs, tensors = self._inputs({**weights, **constants})
        self._metas(self.graph)
        for name, tensor in tensors.items():
            self._fits(name, tensor)
        self.known.update(inputs, tensors)
        self._add(self.graph["nodes"], {})
        output = self._output()
        if output not in self.known:
            raise self.refuse(f"the output {output} is not computed")
        limits = {
            symbol: int(bound["max_val"])
            for symbol, bound in ranges.items()
            if bound.get("max_val") is not None
        }
        graph = Graph(tuple(inputs), tensors, tuple(self.nodes), output)
        return Exported(graph, self.metas, self.hints, limits)

    def _inputs(self, stored: Mapping[str, Tensor]) -> tuple[list[str], dict[str, Tensor]]:
        inputs: list[str] = []
        tensors: dict[str, Tensor] = {}
        for spec in self.signature["input_specs"]:
            ((kind, body),) = ((k, v) for k, v in spec.items() if v is not None)
            if kind == "user_input":
                if "as_tensor" not in body["arg"]:
                    raise self.refuse(f"an input is no tensor: {body['arg']}")
                inputs.append(str(body["arg"]["as_tensor"]["name"]))
            elif kind in ("parameter", "buffer", "tensor_constant"):
                target = str(body[f"{kind}_name"])
                if target not in stored:
                    raise self.refuse(f"there is no stored tensor for {target}")
                tensors[str(body["arg"]["name"])] = stored[target]
            elif kind != "constant_input" and kind != "token":
                raise self.refuse(f"an input of kind {kind} is not data")
        if not inputs:
            raise self.refuse("the program has no input")
        return inputs, tensors

    def _output(self) -> str:
        for spec in self.signature["output_specs"]:
            if spec.get("user_output"):
                arg = spec["user_output"]["arg"]
                if "as_tensor" not in arg:
                    raise self.refuse("the first output is no tensor")
                return str(arg["as_tensor"]["name"])
        raise self.refuse("the program has no output")

    def _metas(self, graph: Mapping[str, Any]) -> None:
        for name, meta in graph["tensor_values"].items():
            dtype = DTYPES.get(meta["dtype"])
            if dtype is not None:
                self.metas[name] = Meta(dtype, tuple(self._size(size) for size in meta["sizes"]))

    def _size(self, size: Mapping[str, Any]) -> Size:
        if "as_int" in size:
            return int(size["as_int"])
        expression = size["as_expr"]
        text = str(expression["expr_str"])
        hint = expression.get("hint")
        if hint:
            self.hints[text] = int(hint["as_int"])
        return text

    def _fits(self, name: str, tensor: Tensor) -> None:
        meta = self.metas.get(name)
        widened = {torch.float16: torch.float32, torch.bfloat16: torch.float32}
        if meta is None or tuple(tensor.shape) != meta.sizes:
            raise self.refuse(
                f"{name} is stored with shape {list(tensor.shape)}, "
                f"the program says {list(meta.sizes) if meta else 'nothing'}"
            )
        if tensor.dtype != widened.get(meta.dtype, meta.dtype):
            raise self.refuse(f"{name} is stored as {tensor.dtype}, the program says {meta.dtype}")

    # ------------------------------------------------------------------ nodes

    def _add(self, nodes: list[Any], renamed: Mapping[str, str]) -> None:
        for node in nodes:
            target = str(node["target"])
            if "higher_order" in target:
                self._inline(node, target, renamed)
            elif node["outputs"]:
                self._operator(node, target, renamed)

    def _operator(self, node: Mapping[str, Any], target: str, renamed: Mapping[str, str]) -> None:
        op = target.removeprefix("torch.ops.").replace("_operator.", "operator.", 1)
        source = line_of((node.get("metadata") or {}).get("stack_trace") or "")
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for given in node["inputs"]:
            value = self.arguments.read(given["arg"], renamed)
            if given.get("kind") == 2:
                kwargs[str(given["name"])] = value
            else:
                args.append(value)
        outputs = node["outputs"]
        names = [self.arguments.result(output, renamed) for output in outputs]
        if len(names) == 1 and isinstance(names[0], str):
            self._define(Node(names[0], op, tuple(args), kwargs, source))
            return
        parts = names[0] if len(names) == 1 else names
        first = next(part for part in parts if part)
        whole = f"{first}_of"
        self._define(Node(whole, op, tuple(args), kwargs, source))
        for i, part in enumerate(parts):
            if isinstance(part, str) and part:
                self._define(Node(part, "operator.getitem", (Ref(whole), i), {}, source))

    def _define(self, node: Node) -> None:
        if node.name in self.known:
            raise self.refuse(f"{node.name} is computed twice")
        self.known.add(node.name)
        self.nodes.append(canonical(node))

    def _inline(self, node: Mapping[str, Any], target: str, renamed: Mapping[str, str]) -> None:
        """`with torch.no_grad():` in forward is a graph within the graph; its nodes are ours."""
        if not target.endswith(("wrap_with_set_grad_enabled", "wrap_with_autocast")):
            raise self.refuse(
                f"operator {target} is control flow, which has no data flow of its own"
            )
        if target.endswith("autocast"):
            raise self.refuse("the forward pass runs under autocast: export it in one precision")
        args = [given["arg"] for given in node["inputs"]]
        (at,) = (i for i, arg in enumerate(args) if "as_graph" in arg)
        inner = args[at]["as_graph"]["graph"]
        given = [self.arguments.read(arg, renamed).name for arg in args[at + 1 :]]
        prefix = f"{node['outputs'][0].get('as_tensor', {}).get('name') or 'inner'}_"
        inside: dict[str, str] = {}
        for spec, name in zip(inner["inputs"], given, strict=True):
            inside[str(spec["as_tensor"]["name"])] = name
        for part in inner["nodes"]:
            for output in part["outputs"]:
                if "as_tensor" in output:
                    name = str(output["as_tensor"]["name"])
                    inside[name] = prefix + name
        self._metas(inner)
        for name, new in inside.items():
            if name in self.metas:
                self.metas.setdefault(new, self.metas[name])
        self._add(inner["nodes"], inside)
        outside = [self.arguments.result(output, renamed) for output in node["outputs"]]
        flat = outside[0] if isinstance(outside[0], list) else outside
        for name, result in zip(flat, inner["outputs"], strict=True):
            value = self.arguments.read(result, inside)
            self._define(Node(name, "aten.alias.default", (value,), {}, ""))
