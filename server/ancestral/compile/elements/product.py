"""Products with weights: linear layers, convolutions of any stride, transposed ones by phase."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ancestral.compile.elements.arena import NEVER, ZEROS, Ints
from ancestral.compile.elements.payload import column_classes
from ancestral.compile.elements.pointwise import compact
from ancestral.compile.elements.program import Rows, Weight
from ancestral.compile.elements.tracer import Tracer, View, by_row, factored, rule
from ancestral.compile.place import Fixed


@rule("aten.linear")
def linear(t: Tracer, x: View, weight: Any, bias: Any = None) -> View:
    return _linear(t, x, weight, bias, transposed=False)


@rule("aten.addmm")
def addmm(t: Tracer, bias: Any, x: Any, weight: Any, **_: Any) -> View:
    if isinstance(weight, View) or isinstance(bias, View):
        raise t.unsupported("a product of computed values with a sum")
    return _linear(t, x, weight, bias, transposed=True)


def _linear(t: Tracer, x: View, weight: Any, bias: Any, *, transposed: bool) -> View:
    """y = x Wᵀ + b over the last dimension; a zero weight reads nothing."""
    if not isinstance(weight, Fixed) or weight.item or (bias is not None and bias.item):
        raise t.unsupported("a product with weights that depend on the data or the condition")
    matrix = (weight.tensor.T if transposed else weight.tensor).detach()
    reads = (matrix != 0).numpy()  # [out, in]
    sites = (*(True,) * (len(x.shape) - 1), False)
    ready = latest(reads, t.ready(x, sites))
    return t.value(
        "linear", (*x.shape[:-1], reads.shape[0]), sites, [t.rows(x, sites)], ready,
        macs=reads.size, weight=weight.name, bias=None if bias is None else bias.name,
        transposed=transposed, outer=1, reads=reads,
    )  # fmt: skip


def latest(reads: Any, ready: Ints) -> Ints:
    """For each row and output, the latest input it reads with a non-zero weight."""
    classes = column_classes(ready)
    if len(classes) == 1:
        live = reads.any(1)
        times = classes[0][1][:, None]
        return times if live.all() else np.where(live, times, NEVER)
    if len(classes) > 16 and len(ready) <= 64:
        return np.stack([_latest_of_row(reads, row) for row in ready])
    out = np.full((len(ready), reads.shape[0]), NEVER, dtype=np.int64)
    for columns, times in classes:
        hit = reads[:, columns].any(1)
        np.maximum(out, np.where(hit, times[:, None], NEVER), out=out)
    return compact(out)


def _latest_of_row(reads: Any, ready: Ints) -> Ints:
    order = np.argsort(-ready, kind="stable")
    by_time = reads[:, order]
    return np.where(by_time.any(1), ready[order][by_time.argmax(1)], NEVER)


@rule("aten.mm", "aten.matmul", "aten.bmm", "aten.baddbmm")
def matmul(t: Tracer, a: Any, b: Any, *rest: Any) -> View:
    if rest:
        raise t.unsupported("a product with a sum")
    if isinstance(a, View) and isinstance(b, Fixed) and b.tensor.dim() == 2:
        return _linear(t, a, b, None, transposed=True)
    from ancestral.compile.elements.attention import matmul_of_values

    if isinstance(a, Fixed) and isinstance(b, View) and a.tensor.dim() == 2 and not a.item:
        return _from_left(t, a, b)
    return matmul_of_values(t, t.as_view(a), t.as_view(b))


def _from_left(t: Tracer, weight: Fixed, x: View) -> View:
    """W x: each column of x is a row of the product."""
    rank = len(x.shape)
    sites = tuple(d != rank - 2 for d in range(rank))
    reads = (weight.tensor != 0).numpy()
    ready = latest(reads, t.ready(x, sites))
    shape = (*x.shape[:-2], reads.shape[0], x.shape[-1])
    return t.value(
        "linear", shape, sites, [t.rows(x, sites)], ready, macs=reads.size, weight=weight.name,
        bias=None, transposed=False, outer=1, reads=reads,
    )  # fmt: skip


@rule("aten.conv1d", "aten.conv2d", "aten.conv3d")
def conv(t: Tracer, x: View, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
         dilation: Any = 1, groups: int = 1) -> View:  # fmt: skip
    return _conv(t, x, weight, bias, stride, padding, dilation, groups, transposed=False)


@rule("aten.conv_transpose1d", "aten.conv_transpose2d")
def conv_transpose(t: Tracer, x: View, weight: Any, bias: Any = None, stride: Any = 1,
                   padding: Any = 0, _: Any = 0, groups: int = 1,
                   dilation: Any = 1) -> View:  # fmt: skip
    return _conv(t, x, weight, bias, stride, padding, dilation, groups, transposed=True)


@rule("aten.convolution")
def convolution(t: Tracer, x: View, weight: Any, bias: Any, stride: Any, padding: Any,
                dilation: Any, transposed: bool, _: Any, groups: int) -> View:  # fmt: skip
    return _conv(t, x, weight, bias, stride, padding, dilation, groups, transposed=transposed)


def _conv(t: Tracer, x: View, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any,
          groups: int, *, transposed: bool) -> View:  # fmt: skip
    if not isinstance(weight, Fixed) or weight.item or (bias is not None and bias.item):
        raise t.unsupported("a convolution whose weights depend on the data or the condition")
    kernel = tuple(weight.tensor.shape[2:])
    spatial = len(kernel)
    gaps, spread = _tuple(stride, spatial), _tuple(dilation, spatial)
    shape = t.shape
    if len(x.shape) != spatial + 2:
        raise t.unsupported("a convolution without a batch axis")
    sites = (True, False, *(True,) * spatial)
    rows_in = by_row(x.at, sites)  # [N in, channels]
    ready_in = t.arena.ready[rows_in]
    pads = [_pad(padding, i, kernel[i], spread[i]) for i in range(spatial)]
    taps = _live_taps(weight)
    masks = np.stack([_mask(weight, tap, groups, transposed) for tap in taps])  # [taps, out, in]
    where = _sources(x.shape[2:], shape[2:], taps, gaps, pads, spread, transposed)  # [N out, taps]
    lead = x.shape[0]
    size = prod(x.shape[2:])
    where = np.concatenate([np.where(where >= 0, where + b * size, -1) for b in range(lead)])
    ready = _ready_of_taps(where, masks, ready_in)
    base, off = factored(rows_in)
    if base.shape[1] == 1 and not (off.min() >= 0 and off.max() < ZEROS):
        base, off = rows_in, np.zeros(1, dtype=np.int64)
    view, start = t.block(shape, sites, ready)
    for members, used in _phases(where, taps, gaps, pads, spread, transposed, shape, lead):
        source = where[np.ix_(members, used)]
        own = np.where((source >= 0)[..., None], base[source], 0).reshape(len(members), -1)
        t.step(
            view, start, "conv-transpose" if transposed else "conv", members,
            [Rows(own, off)], ready[members],
            len(used) * prod(weight.tensor.shape[:2]),
            {"weight": weight.name, "bias": None if bias is None else bias.name,
             "taps": [taps[u] for u in used], "groups": groups, "reads": masks[used]},
        )  # fmt: skip
    return view


def _live_taps(weight: Fixed) -> list[tuple[int, ...]]:
    live = (weight.tensor != 0).any(0).any(0)
    return [tuple(int(i) for i in tap) for tap in live.nonzero()] or [(0,) * live.dim()]


def _mask(weight: Fixed, tap: tuple[int, ...], groups: int, transposed: bool) -> Any:
    """Which inputs each output channel reads at one tap, [out, in], groups unfolded."""
    where: Any = (slice(None), slice(None), *tap)
    block = (weight.tensor[where] != 0).numpy()
    rows, columns = block.shape
    size = rows // groups
    reads = np.zeros((rows, columns * groups), dtype=bool)
    for g in range(groups):
        part = slice(g * size, (g + 1) * size)
        reads[part, g * columns : (g + 1) * columns] = block[part]
    return reads.T if transposed else reads


def _sources(inner: Sequence[int], outer: Sequence[int], taps: Sequence[tuple[int, ...]],
             gaps: Sequence[int], pads: Sequence[int], spread: Sequence[int],
             transposed: bool) -> Ints:  # fmt: skip
    """For each output position and tap, the input position it reads, −1 outside."""
    grid = np.indices(tuple(outer)).reshape(len(outer), -1)  # [axes, N out]
    columns = []
    for tap in taps:
        flat = np.zeros(grid.shape[1], dtype=np.int64)
        inside = np.ones(grid.shape[1], dtype=bool)
        for axis, size in enumerate(inner):
            if transposed:
                reach = grid[axis] + pads[axis] - tap[axis] * spread[axis]
                at, rest = np.divmod(reach, gaps[axis])
                inside &= rest == 0
            else:
                at = grid[axis] * gaps[axis] - pads[axis] + tap[axis] * spread[axis]
            inside &= (at >= 0) & (at < size)
            flat = flat * size + at
        columns.append(np.where(inside, flat, -1))
    return np.stack(columns, 1)


def _ready_of_taps(where: Ints, masks: Any, ready_in: Ints) -> Ints:
    out = np.full((len(where), masks.shape[1]), NEVER, dtype=np.int64)
    for columns, times in column_classes(ready_in):
        whole = columns.size == 1 and compact(ready_in).shape[1] == 1
        hits = masks.any(2) if whole else masks[:, :, columns].any(2)  # [taps, out]
        padded = np.append(times, NEVER)  # index −1: outside
        for tap, hit in enumerate(hits):
            seen = padded[where[:, tap]]
            if hit.all():
                np.maximum(out, seen[:, None], out=out)
            elif hit.any():
                np.maximum(out, np.where(hit, seen[:, None], NEVER), out=out)
    return compact(out)


def _phases(where: Ints, taps: Sequence[tuple[int, ...]], gaps: Sequence[int],
            pads: Sequence[int], spread: Sequence[int], transposed: bool,
            shape: Sequence[int], lead: int) -> list[tuple[Ints, Ints]]:  # fmt: skip
    """Output rows with the taps that can meet them: by phase of the stride where transposed."""
    everything = np.arange(len(taps))
    if not transposed or all(gap == 1 for gap in gaps):
        return [(np.arange(len(where)), everything)]
    outer = shape[2:]
    grid = np.indices(tuple(outer)).reshape(len(outer), -1)
    phase = np.zeros(grid.shape[1], dtype=np.int64)
    for axis, gap in enumerate(gaps):
        phase = phase * gap + (grid[axis] + pads[axis]) % gap
    phase = np.tile(phase, lead)
    found = []
    for number in np.unique(phase):
        members = np.flatnonzero(phase == number)
        first = grid[:, members[0] % grid.shape[1]]
        used = [
            i
            for i, tap in enumerate(taps)
            if all((first[a] + pads[a] - tap[a] * spread[a]) % gaps[a] == 0
                   for a in range(len(outer)))
        ]  # fmt: skip
        found.append((members, np.array(used, dtype=np.int64)))
    return found


def _tuple(value: Any, count: int) -> tuple[int, ...]:
    if isinstance(value, Sequence):
        return tuple(int(v) for v in value) * (count if len(value) == 1 else 1)
    return (int(value),) * count


def _pad(padding: Any, axis: int, size: int, gap: int) -> int:
    """Zeros before the first element along an axis."""
    if isinstance(padding, str):
        return gap * (size - 1) // 2 if padding == "same" else 0
    pads = list(padding) if isinstance(padding, Sequence) else [padding]
    return int(pads[axis] if len(pads) > 1 else pads[0])


__all__ = ["Weight", "latest"]
