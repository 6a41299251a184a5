"""`ancestral.export`: a module's graph, weights and description into one file, on its owner's side.

The file is a zip of `graph.json`, `model.safetensors` and `options.json`: data, which
`ancestral import` takes like a `.pt2`. Unlike plain `torch.export` this also captures modules that
write their weights in forward.
"""

from __future__ import annotations

import inspect
import json
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from ancestral.compile.capture import capture
from ancestral.compile.errors import CompileError
from ancestral.compile.fold import folded_weights
from ancestral.compile.functional import functionalised, renamed
from ancestral.compile.graph import Graph
from ancestral.compile.rebatch import at_any_batch
from ancestral.store.errors import PackageError
from ancestral.store.graph_file import DTYPES, graph_text, parse_graph
from ancestral.store.options import Options
from ancestral.store.pt2.program import Exported, Meta

GRAPH, WEIGHTS, OPTIONS = "graph.json", "model.safetensors", "options.json"
_LARGEST = 64 << 20  # bytes of a document
_OPEN = ("audio", "sequence")
_EXAMPLE = 32  # sites of an example of open length


def export(
    module: nn.Module,
    example: Tensor | Sequence[Tensor],
    path: str | Path,
    *,
    condition: Sequence[str] = (),
    **options: Any,
) -> Path:
    """Write `module` as a file that `ancestral import` takes; run where its Python is at hand.

    `example` are the inputs of one call, the data first; `options` are the flags of
    `ancestral import`, in snake case: data="image", shape="3x32x32", levels=256,
    likelihood="dlm:10", encode="signed", … `condition` lists "INPUT=label:10" and the like.
    Flags that are left out can be given to `ancestral import`. Raises CompileError where the
    forward pass cannot be traced, ValueError for an option that is none.
    """
    told = Options.from_json(options | ({"conditions": list(condition)} if condition else {}))
    inputs = (example,) if isinstance(example, Tensor) else tuple(example)
    if any(part.training for part in module.modules()):
        raise ValueError("the module is in training mode; call .eval() on it before export")
    axes = _dynamic(inputs, told)
    shown = tuple(torch.cat([value, value]) if len(value) == 1 else value for value in inputs)
    graph = capture(module, shown, axes, told.length)
    try:
        graph = folded_weights(functionalised(graph, shown if graph.batched else _first(shown)))
        if any("time" in dynamic.values() for dynamic in axes):
            _run_shorter(graph, shown, axes)
    except (RuntimeError, IndexError) as error:
        raise CompileError(
            f"the graph holds at the example's sizes alone ({str(error).splitlines()[0]}): where "
            "positions have a table, say length=, how many there are"
        ) from error
    graph = _with_inputs(graph, _input_names(module, len(inputs)))
    if graph.batched:
        graph = at_any_batch(graph, inputs)
    metas = {
        name: {
            "dtype": str(value.dtype).removeprefix("torch."),
            "shape": [dynamic.get(i, size) for i, size in enumerate(value.shape)],
        }
        for name, value, dynamic in zip(graph.inputs, inputs, axes, strict=True)
    }
    target = Path(path)
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(GRAPH, graph_text(graph))
        archive.writestr(WEIGHTS, save_tensors(_owned(graph)))
        archive.writestr(OPTIONS, json.dumps({"options": told.to_json(), "inputs": metas}))
    return target


def _owned(graph: Graph) -> dict[str, Tensor]:
    return {name: t.detach().contiguous().clone() for name, t in graph.constants.items()}


def _input_names(module: nn.Module, count: int) -> list[str]:
    """The names of forward's arguments: those that `condition` speaks of."""
    parameters = [
        p for p in inspect.signature(module.forward).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]  # fmt: skip
    named = [p.name for p in parameters[:count]]
    return named + [f"input_{i}" for i in range(len(named), count)]


def _with_inputs(graph: Graph, names: Sequence[str]) -> Graph:
    """The graph with its inputs called as in forward; a node of such a name gives way."""
    taken = {*graph.constants, *(node.name for node in graph.nodes)}
    moved = {name: f"v_{name}" for name in names if name in taken}
    return renamed(graph, {**moved, **dict(zip(graph.inputs, names, strict=True))})


def _dynamic(inputs: Sequence[Tensor], told: Options) -> list[dict[int, str]]:
    """The axes that may change: the batch, and time where the data have an open length."""
    axes: list[dict[int, str]] = [{0: "batch"} for _ in inputs]
    if told.data in _OPEN:
        levels = told.levels or 2
        spread = {"one-hot": levels, "bits": (levels - 1).bit_length()}.get(told.encode or "", 1)
        codes = inputs[0]
        at = next((i for i in range(1, codes.dim()) if codes.shape[i] != spread), 1)
        for value, dynamic in zip(inputs, axes, strict=True):
            for i in range(1, value.dim()):
                if value.shape[i] == codes.shape[at] and value.is_floating_point() == (i != 1):
                    dynamic[i] = "time"
        axes[0][at] = "time"
    return axes


def _run_shorter(graph: Graph, inputs: Sequence[Tensor], axes: Sequence[dict[int, str]]) -> None:
    """Run at another length than the example's; a RuntimeError where the graph has but one."""
    batch = len(inputs[0]) if graph.batched else 1
    cut = [value[:batch] for value in inputs]
    for dynamic, (i, value) in zip(axes, enumerate(cut), strict=True):
        for axis in (axis for axis, name in dynamic.items() if name == "time"):
            cut[i] = value = value.narrow(axis, 0, value.shape[axis] - 1)
    graph.run(cut)


def _first(inputs: Sequence[Tensor]) -> list[Tensor]:
    return [value[:1] for value in inputs]


def read_exported(file: Path) -> tuple[Exported, Options]:
    """What `export` wrote. Raises PackageError naming the file and the part."""
    try:
        with zipfile.ZipFile(file) as archive:
            parts = {name: _part(archive, name, file) for name in (GRAPH, WEIGHTS, OPTIONS)}
        document = json.loads(parts[OPTIONS])
        options = Options.from_json(document["options"])
        graph = parse_graph(parts[GRAPH].decode())
        graph = replace(graph, constants=_weights(graph, parts[WEIGHTS], file))
        metas = {
            name: Meta(DTYPES[meta["dtype"]], tuple(_size(size) for size in meta["shape"]))
            for name, meta in document["inputs"].items()
        }
        if set(metas) != set(graph.inputs):
            raise PackageError(file, f"{OPTIONS}: the inputs are not those of the graph")
        hints = {"batch": 2 if graph.batched else 1, "time": _EXAMPLE}
        return Exported(graph, metas, hints, {}), options
    except PackageError:
        raise
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError, AttributeError,
            RecursionError) as error:  # fmt: skip
        raise PackageError(file, f"is not a file of ancestral.export: {error}") from error


def _size(size: Any) -> int | str:
    if size in ("batch", "time") or (isinstance(size, int) and 0 < size < 1 << 24):
        return size  # type: ignore[no-any-return]
    raise ValueError(f"{size!r} is not a size")


def _part(archive: zipfile.ZipFile, name: str, file: Path) -> bytes:
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED:
        raise PackageError(file, f"{name}: is compressed; ancestral.export stores entries")
    if name != WEIGHTS and info.file_size > _LARGEST:
        raise PackageError(file, f"{name}: is larger than {_LARGEST} bytes")
    return archive.read(info)


def _weights(graph: Graph, data: bytes, file: Path) -> dict[str, Tensor]:
    try:
        found = load_tensors(data)
    except SafetensorError as error:
        raise PackageError(file, f"{WEIGHTS}: {error}") from error
    for name, blank in graph.constants.items():
        tensor = found.get(name)
        if tensor is None or tensor.shape != blank.shape or tensor.dtype != blank.dtype:
            raise PackageError(file, f"{WEIGHTS}: {name} is missing or of another shape or type")
        if bool(torch.isnan(tensor).any()):
            raise PackageError(file, f"{WEIGHTS}: {name} holds NaN")
    return {name: found[name] for name in graph.constants}
