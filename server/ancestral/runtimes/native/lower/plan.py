"""The order of execution, and how long each result that is not cached is needed."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch

from ancestral.compile.place import Ints
from ancestral.compile.program import StepProgram
from ancestral.compile.step import Read, Step
from ancestral.runtimes.native.lower.errors import Unsupported

CASTS = ("_to_copy", "to", "float", "type_as")


@dataclass(frozen=True, eq=False, slots=True)
class Part:
    """A step, or the elements of it that one sub-step computes. `sub` −1: with the row."""

    step: Step
    sub: int
    elements: Ints | None


def entire(part: Part) -> Step:
    """The step of a part that is all of it. Raises Unsupported."""
    if part.elements is not None:
        raise Unsupported(f"a part of a step of kind {part.step.kind}")
    return part.step


def in_order(program: StepProgram) -> list[Part]:
    """Every part of every step in the order in which a site runs them, the row's first."""
    found = [Part(step, -1, None) for step in program.row_steps]
    for sub in range(program.subs + 1):
        for step in program.site_steps:
            elements = np.flatnonzero(step.sub == sub)
            if elements.size and step.kind != "codes":
                whole = elements.size == step.payload
                found.append(Part(step, sub, None if whole else elements))
    return found


@dataclass(frozen=True, eq=False)
class Plan:
    """What is run, what is only another name, and when each register is free again.

    `alias` maps a step that moves nothing to (its source, the first element); `fused` maps a
    product of activations to the step whose function is applied inside it (`gate`: both).
    """

    parts: tuple[Part, ...]
    alias: dict[str, tuple[str, int]]
    gates: dict[str, tuple[Step, ...]]
    sums: dict[str, Step]  # an addition -> the product that adds while it multiplies
    last_use: dict[str, float]


def plan(program: StepProgram) -> Plan:
    parts = in_order(program)
    steps = {s.name: s for s in program.steps}
    whole = {p.step.name: p for p in parts if p.elements is None}
    readers: dict[str, list[str]] = defaultdict(list)
    for part in parts:
        for operand in part.step.operands:
            if isinstance(operand, Read):
                readers[operand.source].append(part.step.name)
    readers[program.params.source].append("params")
    alias = {p.step.name: found for p in parts if (found := _alias(p, whole, steps)) is not None}

    def own(operand: object, reader: Part) -> Step | None:
        """The step behind an operand that nobody else reads and that is computed with it."""
        if not isinstance(operand, Read) or not operand.direct:
            return None
        source = whole.get(operand.source)
        if (
            source is None
            or source.sub != reader.sub
            or readers[operand.source] != [reader.step.name]
        ):
            return None
        step = source.step
        fits = operand.pmap is None and step.ring is None and not step.keyed
        same = (step.extent, step.lead, step.space) == (
            reader.step.extent, reader.step.lead, reader.step.space
        )  # fmt: skip
        return step if fits and same and step.name not in alias else None

    gates: dict[str, tuple[Step, ...]] = {}
    sums: dict[str, Step] = {}
    gone: set[str] = set()
    for part in whole.values():
        step = part.step
        if step.kind != "pointwise" or step.keyed or len(step.operands) != 2:
            continue
        sources = [own(o, part) for o in step.operands]
        names = [s.op.split(".")[1] if s and s.kind == "pointwise" else "" for s in sources]
        if step.op == "aten.mul.Tensor" and "sigmoid" in names:
            gate = names.index("sigmoid")
            both = names[1 - gate] == "tanh"
            used = (sources[1 - gate], sources[gate]) if both else (sources[gate],)
            gates[step.name] = tuple(s for s in used if s is not None)
            gone |= {s.name for s in gates[step.name]}
        elif step.op == "aten.add.Tensor" and not step.attrs["kwargs"]:
            for source, other in zip(sources, reversed(step.operands), strict=True):
                simple = source is not None and source.kind in ("conv", "linear")
                if (
                    simple
                    and source is not None
                    and source.attrs.get("groups", 1) == 1
                    and source.attrs.get("outer", 1) == 1
                    and isinstance(other, Read)
                ):
                    sums[step.name] = source
                    gone.add(source.name)
                    break
    kept = tuple(p for p in parts if p.step.name not in gone and p.step.name not in alias)
    return Plan(kept, alias, gates, sums, _last_uses(program, kept, alias, gates, sums))


def _last_uses(
    program: StepProgram,
    parts: tuple[Part, ...],
    alias: dict[str, tuple[str, int]],
    gates: dict[str, tuple[Step, ...]],
    sums: dict[str, Step],
) -> dict[str, float]:
    found: dict[str, float] = {}

    def used(name: str, at: float) -> None:
        while name in alias:
            name = alias[name][0]
        found[name] = max(found.get(name, -1), at)

    for at, part in enumerate(parts):
        used(part.step.name, at)
        inner = (*gates.get(part.step.name, ()), *filter(None, [sums.get(part.step.name)]))
        for step in (part.step, *inner):
            for operand in step.operands:
                if isinstance(operand, Read) and operand.direct:
                    used(operand.source, at)
    used(program.params.source, math.inf)
    return found


def _alias(part: Part, whole: dict[str, Part], steps: dict[str, Step]) -> tuple[str, int] | None:
    """(source, first element) where the step would only copy what stands elsewhere."""
    step = part.step
    cast = step.kind == "pointwise" and step.op.split(".")[1] in CASTS
    if part.elements is not None or step.ring is not None or step.keyed:
        return None
    if not (step.kind == "copy" or (cast and to_float(step))):
        return None
    read = step.operands[0]
    if not isinstance(read, Read) or not read.direct:
        return None
    source = steps[read.source]
    if source.phase != step.phase or (source.extent != step.extent and step.space == source.space):
        return None
    first, count = 0, source.payload
    if read.pmap is not None:
        first, count = int(read.pmap[0]), read.pmap.size
        if not (read.pmap == np.arange(first, first + count)).all():
            return None
    return (read.source, first) if count == step.payload else None


def to_float(step: Step) -> bool:
    """Whether a cast makes numbers of the runtime's own type."""
    kinds = [v for v in (*step.operands[1:], *step.attrs["kwargs"].values())
             if isinstance(v, torch.dtype)]  # fmt: skip
    return all(k.is_floating_point for k in kinds)
