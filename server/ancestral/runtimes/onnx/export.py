"""A package's program and forward pass as .onnx files, checked and compared with our own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from ancestral.compile import Program, StepProgram
from ancestral.models.data import ConditionSpec, whole_frames
from ancestral.models.network import Network
from ancestral.runtimes import derive
from ancestral.runtimes.caches import Caches
from ancestral.runtimes.onnx.forward import forward_graph
from ancestral.runtimes.onnx.runtime import OnnxRuntime
from ancestral.runtimes.onnx.scorer import OnnxScorer
from ancestral.runtimes.onnx.step import NEXT, step_graphs
from ancestral.runtimes.onnx.writer import Unwritten
from ancestral.runtimes.scorer import Scorer

LIMIT = 1e-4  # of the params' scale, and of the nats


@dataclass(frozen=True, slots=True)
class Written:
    """One file; `error` is its largest difference from our own, as a share, `reason` why there is
    none where an operator has no form in ONNX."""

    name: str
    error: float | None = None
    reason: str = ""

    @property
    def ok(self) -> bool:
        return self.error is None or self.error <= LIMIT


def export(
    program: Program, network: Network, specs: Sequence[ConditionSpec], folder: Path
) -> list[Written]:
    """Write forward.onnx, site.onnx, row.onnx (where rows are computed) and step.json."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for name, write in (("forward", _forward), ("step", _step)):
        try:
            found.append(Written(f"{name}", write(program, network, specs, folder)))
        except Unwritten as reason:
            found.append(Written(f"{name}", reason=f"ONNX has no form of {reason}"))
    return found


def _save(model: onnx.ModelProto, path: Path) -> None:
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _forward(
    program: Program, network: Network, specs: Sequence[ConditionSpec], folder: Path
) -> float:
    _save(forward_graph(program.graph, network, specs), folder / "forward.onnx")
    _, values, conditions = _example(program, network, specs)
    item = derive.item_of(program, network, values, torch.float32)
    rows = tuple(c.float() if c.is_floating_point() else c for c in conditions)
    ours = Scorer(network, specs).per_dim(item, rows)
    theirs = OnnxScorer(lambda: program, network, specs).per_dim(item, rows)
    return float((ours - theirs).abs().max()) / max(1.0, float(ours.abs().max()))


def _step(
    program: Program, network: Network, specs: Sequence[ConditionSpec], folder: Path
) -> float:
    if not isinstance(program, StepProgram):
        raise Unwritten("a program over the elements of an item")
    sites, values, conditions = _example(program, network, specs)
    runtime = OnnxRuntime(program, network, 1)
    found = derive.step_params(
        program, network, values, conditions, dtype=torch.float32, batch=runtime.batch
    )
    wanted = derive.step_params(program, network, values, conditions)
    codes = torch.int64 if network.likelihood.discrete else torch.float32
    caches = Caches(program, 1, torch.float32, torch.device("cpu"), codes)
    caches.reserve(sites)
    dims = network.data.dims_per_site
    graphs = step_graphs(caches, network.likelihood, dims)
    _save(graphs.site, folder / "site.onnx")
    if graphs.row is not None:
        _save(graphs.row, folder / "row.onnx")
    described = json.dumps(_described(program, caches), indent=2)
    (folder / "step.json").write_text(described + "\n", encoding="utf-8")
    return float((found - wanted).abs().max() / wanted.abs().max())


def _described(program: StepProgram, caches: Caches) -> dict[str, Any]:
    """What a driver of the graphs must know that their inputs do not say."""
    rings = {
        f"ring/{step.name}": {
            "rows_per_slot": int(caches.rings[step.name][0].numel() // step.payload),
            "fill": step.fill if isinstance(step.fill, int | float) else "table",
        }
        for step in program.steps
        if step.ring
    }
    return {
        "space": program.space,
        "rows": program.rows,
        "columns": program.columns,
        "row_graph_at_column": 0 if program.row_steps else None,
        "next": NEXT,
        "rings": rings,
    }


def _example(
    program: Program, network: Network, specs: Sequence[ConditionSpec]
) -> tuple[int, np.ndarray[Any, Any], tuple[torch.Tensor, ...]]:
    data = network.data
    sites = data.sites() if data.shape else whole_frames(derive.WINDOW, specs)
    sites = min(sites, network.longest or sites)
    values = derive.random_values(network, sites)
    return sites, values, tuple(derive.random_condition(s, network, sites) for s in specs)
