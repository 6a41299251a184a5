"""What rounded weights cost: the change in bits per dimension on the same items.

The items are those of a reference, where a folder of them is given. Where none is, the model with
its weights as they are stored draws some: the expected change on these is the relative entropy of
the rounded model from it, in bits, and zero only where the two agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ancestral.engine.model import Model
from ancestral.engine.parity import first_conditions
from ancestral.engine.probe import Check
from ancestral.store.package import load_package
from ancestral.train.calibration import score
from ancestral.train.splits import Split

LIMIT = 0.005  # bits/dim that a package may lose by the weights it names as its own
DRAWN = 16  # items drawn where none are given


def rounding(model: Model, sites: int, split: Split | None = None) -> Check:
    """Score the items of `split`, or items of `sites` sites drawn for it, with both weights.

    Whoever asks for rounded weights is told their cost; a package that names them as its own fails
    where the cost is above the limit.
    """
    stored = as_stored(model)
    chosen = "given" if split is not None else "drawn"
    split = drawn(stored, sites) if split is None else split
    found = change(stored, model, split)
    default = model.manifest.weights == model.package.weights
    return Check(
        f"weights, {model.package.weights}",
        found.bits <= LIMIT or not default,
        found.bits,
        LIMIT if default else None,
        f"bits/dim more than with the weights as stored, ± {found.error:.1g}: "
        f"{found.after:.4f} on {len(split)} items {chosen}",
    )


@dataclass(frozen=True, slots=True)
class Change:
    """`bits`: bits/dim more than before, `error` its standard error, `after` how many now."""

    bits: float
    error: float
    after: float


def change(stored: Model, rounded: Model, split: Split) -> Change:
    """What the items cost with rounded weights, over what they cost with those as stored."""
    before, after = (score(m.network, m.conditions, split) for m in (stored, rounded))
    lost = (before.nats - after.nats) / math.log(2)
    dimensions = before.dimensions.sum()
    error = float(lost.std() * math.sqrt(len(lost)) / dimensions)
    return Change(float(lost.sum() / dimensions), error, after.bits_per_dim)


def as_stored(model: Model) -> Model:
    return Model(load_package(model.package.path, "float32"), model.kind)


def drawn(model: Model, sites: int, count: int = DRAWN) -> Split:
    """Items that the model draws, their labels in turn."""
    given = {}
    for spec, row in zip(model.conditions, first_conditions(model, sites), strict=True):
        many = np.arange(count) % (spec.classes or 1)
        rows = many if spec.kind == "label" else np.repeat(row.numpy(), count, axis=0)
        given[spec.name] = rows
    length = sites if model.manifest.data.length is not None else None
    items = model.sample(count, 0, given, sites=length).items
    return Split(items, tuple(given.values()))
