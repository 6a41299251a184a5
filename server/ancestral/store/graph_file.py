"""`graph.json`: a graph as data, under a schema of our own that does not change with torch's.

    {"schema_version": 1, "batched": true, "inputs": ["x", "label"], "output": "conv1d_9",
     "constants": {"p_weight": {"dtype": "float32", "shape": [4, 1, 2]}},
     "nodes": [{"name": "relu", "op": "aten.relu.default", "args": [{"ref": "x"}], "source": "…"}]}

Arguments are JSON values; what JSON has no word for is an object of one key: `ref` (the value of an
input, constant or earlier node), `dtype`, `float` (inf, -inf, nan), `device`, `layout` and
`memory_format`. Operators are those of `compile.operators` and no others.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ancestral.compile.errors import CompileError
from ancestral.compile.graph import Graph, Node, Ref, refs
from ancestral.compile.operators import check_operators
from ancestral.store.errors import PackageError

SCHEMA = 1
_LARGEST = 64 << 20  # bytes
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")
_CONSTANT = re.compile(r"[pbcf]_[A-Za-z0-9_]{1,255}")  # apart from every attribute of a module
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8,
                  torch.int8, torch.int16, torch.int32, torch.int64, torch.bool)
}  # fmt: skip
_FORMATS = {
    str(value).removeprefix("torch."): value
    for value in (torch.contiguous_format, torch.channels_last, torch.preserve_format)
}


def graph_text(graph: Graph) -> str:
    """The document of a graph; its constants by type and shape, their values are stored apart."""
    nodes = []
    for node in graph.nodes:
        entry: dict[str, Any] = {"name": node.name, "op": node.op, "args": _plain(node.args)}
        if node.kwargs:
            entry["kwargs"] = {key: _plain(value) for key, value in node.kwargs.items()}
        if node.source:
            entry["source"] = node.source
        nodes.append(json.dumps(entry, allow_nan=False))
    constants = {
        name: {"dtype": str(t.dtype).removeprefix("torch."), "shape": list(t.shape)}
        for name, t in graph.constants.items()
    }
    head = {
        "schema_version": SCHEMA,
        "batched": graph.batched,
        "inputs": list(graph.inputs),
        "output": graph.output,
        "constants": constants,
    }
    body = ",\n  ".join(nodes)
    return json.dumps(head)[:-1] + f', "nodes": [\n  {body}\n]}}\n'


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Ref):
        return {"ref": value.name}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"device": "cpu"}
    if isinstance(value, torch.layout):
        return {"layout": "strided"}
    if isinstance(value, torch.memory_format):
        return {"memory_format": str(value).removeprefix("torch.")}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise CompileError(f"an argument of type {type(value).__name__} has no place in a graph")


def read_graph(file: Path) -> Graph:
    """The graph of a document, its constants as zeros. Raises PackageError naming the file."""
    try:
        if file.stat().st_size > _LARGEST:
            raise PackageError(file, f"larger than {_LARGEST} bytes")
        return parse_graph(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise PackageError(file, f"cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, CompileError) as error:
        if isinstance(error, PackageError):
            raise
        raise PackageError(file, f"is not a graph: {error}") from error
    except RecursionError as error:
        raise PackageError(file, "is nested too deeply") from error


def parse_graph(text: str) -> Graph:
    """Raises ValueError, KeyError, TypeError or CompileError for what is no graph."""
    document = json.loads(text)
    if document["schema_version"] != SCHEMA:
        raise ValueError(f"schema_version {document['schema_version']}; {SCHEMA} is known")
    constants = {str(name): _blank(name, meta) for name, meta in document["constants"].items()}
    inputs = tuple(_name(name) for name in document["inputs"])
    known = {*inputs, *constants}
    if len(known) < len(inputs) + len(constants) or not inputs:
        raise ValueError("inputs and constants must have names of their own")
    nodes: list[Node] = []
    for entry in document["nodes"]:
        node = _node(entry)
        for name in refs(node.args, tuple(node.kwargs.values())):
            if name not in known:
                raise ValueError(f"{node.name} reads {name}, which is not computed before it")
        if node.name in known:
            raise ValueError(f"{node.name} is there twice")
        known.add(node.name)
        nodes.append(node)
    if document["output"] not in known:
        raise ValueError(f"the output {document['output']!r} is not computed")
    batched = document["batched"]
    if not isinstance(batched, bool):
        raise TypeError("batched must be true or false")
    graph = Graph(inputs, constants, tuple(nodes), str(document["output"]), batched)
    check_operators(graph)
    return graph


def _name(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a name")
    return value


def _blank(name: Any, meta: Mapping[str, Any]) -> torch.Tensor:
    if not _CONSTANT.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a constant")
    shape = [_size(size) for size in meta["shape"]]
    if math.prod(shape) > 1 << 31:
        raise ValueError(f"{name} has shape {shape}: too large")
    # one element seen everywhere: nothing is allocated before the weights are read
    return torch.zeros((), dtype=DTYPES[meta["dtype"]]).expand(shape)


def _size(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is not a size")
    return value


def _node(entry: Mapping[str, Any]) -> Node:
    strange = set(entry) - {"name", "op", "args", "kwargs", "source"}
    if strange:
        raise ValueError(f"unknown key {min(strange)!r}")
    args = tuple(_value(item) for item in entry["args"])
    kwargs = {_name(key): _value(value) for key, value in entry.get("kwargs", {}).items()}
    return Node(_name(entry["name"]), str(entry["op"]), args, kwargs, str(entry.get("source", "")))


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return [_value(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, body),) = value.items()
    if kind == "ref":
        return Ref(_name(body))
    if kind == "dtype":
        return DTYPES[body]
    if kind == "float":
        return {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}[body]
    if kind == "device" and body == "cpu":
        return torch.device("cpu")
    if kind == "layout" and body == "strided":
        return torch.strided
    if kind == "memory_format":
        return _FORMATS[body]
    raise ValueError(f"{value!r} is not an argument")
