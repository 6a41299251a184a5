"""Elementwise operators, and what constants make of them: a masked element is not computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ancestral.compile.elements.arena import MASKED, Ints
from ancestral.compile.elements.movement import chosen
from ancestral.compile.elements.tracer import Tracer, View, by_row, rule
from ancestral.compile.place import Fixed
from ancestral.compile.rules.pointwise import ELEMENTWISE


def sites_of(views: list[View], shape: tuple[int, ...]) -> tuple[bool, ...]:
    """Which dimensions of an elementwise result are sites: those that are for any operand."""
    sites = [False] * len(shape)
    for view in views:
        for back in range(1, len(view.sites) + 1):
            if view.sites[-back]:
                sites[-back] = True
    return tuple(sites)


def compact(ready: Ints) -> Ints:
    """Ready times [rows, columns] as [rows, 1] where they agree along the columns."""
    if ready.shape[1] > 1 and (ready == ready[:, :1]).all():
        return ready[:, :1].copy()
    return ready


@rule(*(f"aten.{name}" for name in ELEMENTWISE if name not in ("where", "masked_fill")))
def pointwise(t: Tracer, *args: Any, **kwargs: Any) -> View:
    return _pointwise(t, *args, **kwargs)


def _pointwise(t: Tracer, *args: Any, **kwargs: Any) -> View:
    shape = t.shape
    computed = [a for a in args if isinstance(a, View)]
    sites = sites_of(computed, shape)
    operands: list[Any] = []
    ready = None
    for arg in args:
        if isinstance(arg, Fixed) and arg.tensor.numel() == 1 and not arg.item:
            operands.append(arg.tensor.flatten()[0].item())
        elif isinstance(arg, (View, Fixed)):
            view = t.as_view(arg).broadcast(shape)
            operands.append(t.rows(view, sites))
            own = compact(t.ready(view, sites))
            ready = own if ready is None else np.maximum(ready, own)
        else:
            operands.append(arg)
    assert ready is not None
    kept = {k: v for k, v in kwargs.items() if k not in ("pin_memory", "layout", "device")}
    out = t.value("pointwise", shape, sites, operands, ready, kwargs=kept)
    return _masked(t, args, out)


def _masked(t: Tracer, args: tuple[Any, ...], out: View) -> View:
    """Elements that a constant decides alone: −inf or less than MASKED added, zero multiplied."""
    name = t.node.packet.removeprefix("aten.")
    if name not in ("add", "sub", "mul") or kind_is_scaled(t):
        return out
    for sign, arg in zip((1, -1 if name == "sub" else 1), args[:2], strict=True):
        if not isinstance(arg, (View, Fixed)) or (isinstance(arg, Fixed) and arg.item):
            continue
        known = sign * np.broadcast_to(t.arena.known[t.as_view(arg).at], out.shape)
        decides = known == 0 if name == "mul" else known <= MASKED
        if decides.any():
            at = out.at.copy()
            for value in np.unique(known[decides]):
                at[decides & (known == value)] = t.arena.literal(float(value))
            out = t.view(at, out.kind)
    return out


def kind_is_scaled(t: Tracer) -> bool:
    """Whether an addition scales its second operand."""
    return bool(t.node.kwargs.get("alpha", 1) != 1)


@rule("aten.masked_fill")
def masked_fill(t: Tracer, x: Any, mask: Any, value: Any) -> View:
    if isinstance(mask, View) or mask.item or not isinstance(value, (int, float, Fixed)):
        return _pointwise(t, x, mask, value)
    number = float(value.tensor) if isinstance(value, Fixed) else float(value)
    return chosen(t, mask.tensor.numpy(), t.as_view(x), t.arena.literal(number))


@rule("aten.where")
def where(t: Tracer, mask: Any, a: Any, b: Any) -> View:
    if isinstance(mask, View) or mask.item:
        return _pointwise(t, mask, a, b)
    first = t.arena.literal(float(a)) if isinstance(a, (int, float)) else t.as_view(a)
    second = t.as_view(b) if not isinstance(b, (int, float)) else None
    if second is None:
        shape = t.shape
        fill = np.full(shape, t.arena.literal(float(b)))
        second = View(fill, (False,) * len(shape))
    return chosen(t, mask.tensor.numpy(), second, first)


@rule("aten.cumsum")
def cumsum(t: Tracer, x: View, dim: int, **_: Any) -> View:
    """A running sum: each element adds its own to the one before."""
    dim %= len(x.shape)
    sites = tuple(d == dim for d in range(len(x.shape)))
    ready = np.maximum.accumulate(t.ready(x, sites), axis=0)
    view, start = t.block(x.shape, sites, ready)
    columns = by_row(view.at, sites)
    before = np.vstack([np.zeros((1, columns.shape[1]), dtype=np.int64), columns[:-1]])
    own = t.rows(x, sites)
    kind = "running-sum"
    for n in range(len(columns)):  # one step a row: the rows follow from each other
        operands = [type(own)(own.base[n : n + 1], own.off, own.kind),
                    type(own)(before[n : n + 1], np.zeros(1, dtype=np.int64))]  # fmt: skip
        t.step(view, start, kind, np.array([n]), operands, compact(ready[n : n + 1]), 0, {})
    return view


__all__ = ["compact", "sites_of", "torch"]
