"""Operands known before sampling: constants by site, and what depends on the condition only."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from ancestral.compile.place import Ints, Table
from ancestral.compile.program import Read, Step, StepProgram


def by_site(tensor: Tensor, table: Table, index: Ints | None = None) -> Tensor:
    """The tensor as [sites..., payload] or, with a key axis, [sites..., payload, keys].

    Site axes come in the order row, column (or flat); the batch axis, of size one, is dropped.
    """
    missing = tensor.dim() - len(table.axes)
    axes = ("one",) * missing + table.axes
    sites = [i for kind in ("row", "col", "flat") for i, a in enumerate(axes) if a == kind]
    keys = [i for i, a in enumerate(axes) if a == "key"]
    rest = [i for i, a in enumerate(axes) if i not in sites and i not in keys]
    tensor = tensor.permute(*sites, *rest, *keys)
    lead = [tensor.shape[i] for i in range(len(sites))]
    tail = [tensor.shape[-1]] if keys else []
    payload = prod(tensor.shape[len(sites) : tensor.dim() - len(keys)])
    tensor = tensor.reshape(*lead, payload, *tail)
    chosen = torch.from_numpy((table.index if index is None else index).copy())
    if keys and payload == 1:
        return tensor
    return tensor.index_select(len(sites), chosen)


def site_axes(table: Table) -> tuple[str, ...]:
    return tuple(k for k in ("row", "col", "flat") if k in table.axes)


def tables_of(program: StepProgram) -> list[Table]:
    """Every table the program's steps read, fills included."""
    found: list[Table] = []
    for step in program.steps:
        found += [o for o in step.operands if isinstance(o, Table)]
        if isinstance(step.fill, Table):
            found.append(step.fill)
    return found


def reads_of(step: Step) -> list[Read]:
    return [o for o in step.operands if isinstance(o, Read)]
