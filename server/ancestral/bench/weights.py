"""What rounded weights cost, package by package: bits/dim more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from ancestral.engine.model import load
from ancestral.engine.rounded import DRAWN, as_stored, change, drawn
from ancestral.models.data import whole_frames
from ancestral.models.rounding import Precision

_OPEN_SITES = 256  # of items of open length


@dataclass(frozen=True, slots=True)
class Cost:
    """`bits`: bits/dim more than with the weights as stored, `error` its standard error."""

    model: str
    weights: Precision
    bits: float
    error: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def costs(
    names: Sequence[str], root: Path, weights: Sequence[Precision] = ("bf16", "int8")
) -> Iterator[Cost]:
    """Score items that each model draws with its weights as stored, with those and with others."""
    for name in names:
        stored = as_stored(load(name, root))
        length = stored.manifest.data.length
        sites = stored.sites_of(None if length is None else min(_OPEN_SITES, length.maximum))
        items = drawn(stored, whole_frames(sites, stored.conditions))
        for precision in weights:
            found = change(stored, load(name, root, weights=precision), items)
            yield Cost(name, precision, found.bits, found.error)


def costs_table(found: Sequence[Cost]) -> Table:
    """The costs for a terminal."""
    kinds = list(dict.fromkeys(cost.weights for cost in found))
    table = Table(
        title="rounded weights, bits/dim more than as stored",
        caption=f"on {DRAWN} items that the model draws, ± the standard error",
    )
    table.add_column("model")
    for kind in kinds:
        table.add_column(kind, justify="right", no_wrap=True)
    for name, cells in _rows(found).items():
        table.add_row(name, *cells)
    return table


def costs_markdown(found: Sequence[Cost]) -> str:
    """A row for each model, as the documentation shows them."""
    kinds = list(dict.fromkeys(cost.weights for cost in found))
    lines = [["model", *kinds], ["---"] + ["---:"] * len(kinds)]
    lines += [[name, *cells] for name, cells in _rows(found).items()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _rows(found: Sequence[Cost]) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    for cost in found:
        rows.setdefault(cost.model, []).append(f"{cost.bits:+.5f} ± {cost.error:.5f}")
    return rows
