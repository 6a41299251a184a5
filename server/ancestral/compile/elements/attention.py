"""Products of computed values, and attention: what a mask removes is not read."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ancestral.compile.elements.arena import MASKED, NEVER, Ints
from ancestral.compile.elements.pointwise import compact
from ancestral.compile.elements.program import Rows
from ancestral.compile.elements.tracer import Tracer, View, by_row, rule
from ancestral.compile.place import Fixed


def matmul_of_values(t: Tracer, a: View, b: View) -> View:
    """a [..., M, K] times b [..., K, N]: by rows of a, or element by element where b's columns
    are sites of their own (queries against keys)."""
    shape = t.shape
    if len(a.shape) < 2 or len(b.shape) < 2:
        raise t.unsupported("a product of vectors")
    lead = shape[:-2]
    a = a.broadcast((*lead, *a.shape[-2:]))
    b = b.broadcast((*lead, *b.shape[-2:]))
    known = t.arena.ready[b.at].max(-2)  # [..., N]
    if b.sites[-1] or (known != known[..., :1]).any():
        return _pairs(t, a, b, shape)
    rank = len(shape)
    own = (*(True,) * (rank - 1), False)
    rows_a = by_row(a.at, own)  # [(lead, M), K]
    flat_b = b.at.reshape(-1, *b.shape[-2:])  # [lead, K, N]
    which = np.repeat(np.arange(len(flat_b)), a.shape[-2])
    ready_b = t.arena.ready[flat_b]
    seen = rows_a != 0  # a zero weight reads nothing
    ready = compact(_ready(t.arena.ready[rows_a], seen, ready_b, which))
    off = np.zeros(1, dtype=np.int64)
    return t.value(
        "rows-by-matrix", shape, own,
        [t.rows(a, own), Rows(flat_b.reshape(len(flat_b), -1)[which], off)], ready,
        macs=int(np.prod(b.shape[-2:])), width=b.shape[-1], seen=seen,
    )  # fmt: skip


def _ready(ready_a: Ints, seen: Any, ready_b: Ints, which: Ints) -> Ints:
    out = np.empty((len(ready_a), ready_b.shape[2]), dtype=np.int64)
    for n, (row, shown) in enumerate(zip(ready_a, seen, strict=True)):
        late = row[shown].max() if shown.any() else NEVER
        below = ready_b[which[n]][shown]
        out[n] = np.maximum(late, below.max(0)) if shown.any() else late
    return out


def _pairs(t: Tracer, a: View, b: View, shape: tuple[int, ...]) -> View:
    """Every element on its own: a row of a times a column of b."""
    width = a.shape[-1]
    left = np.broadcast_to(a.at[..., :, None, :], (*shape, width))
    right = np.broadcast_to(np.swapaxes(b.at, -1, -2)[..., None, :, :], (*shape, width))
    sites = (True,) * len(shape)
    own = (*sites, False)
    views = [View(left, own), View(right, own)]
    ready = np.maximum(*(t.ready(v, own).max(1, keepdims=True) for v in views))
    return t.value("dot", shape, sites, [t.rows(v, own) for v in views], ready, macs=width)


@rule("aten.scaled_dot_product_attention", "aten._scaled_dot_product_flash_attention_for_cpu")
def attend(t: Tracer, q: View, k: View, v: View, *args: Any, **kwargs: Any) -> Any:
    """Fused attention: a query's row reads the keys and values that its mask leaves."""
    flash = t.node.packet.endswith("cpu")
    names = ["dropout_p", "is_causal"] if flash else ["attn_mask", "dropout_p", "is_causal"]
    options = {**dict(zip(names, args, strict=False)), **kwargs}
    mask = options.get("attn_mask")
    if options.get("dropout_p"):
        raise t.unsupported("attention dropout; export the module in eval mode")
    if isinstance(mask, View) or (isinstance(mask, Fixed) and mask.item):
        raise t.unsupported("an attention mask computed from the data or the condition")
    q, k, v = t.as_view(q), t.as_view(k), t.as_view(v)
    lead, queries, keys = q.shape[:-2], q.shape[-2], k.shape[-2]
    heads = int(np.prod(lead))
    if options.get("enable_gqa") and k.shape[-3] != q.shape[-3]:
        times = q.shape[-3] // k.shape[-3]
        k, v = (View(np.repeat(x.at, times, -3), x.sites, x.kind) for x in (k, v))
    k = k.broadcast((*lead, *k.shape[-2:]))
    v = v.broadcast((*lead, *v.shape[-2:]))
    allowed = np.ones((heads, queries, keys), dtype=bool)
    if options.get("is_causal"):
        allowed &= np.tri(queries, keys, dtype=bool)
    if mask is not None:
        tensor = mask.tensor if mask.tensor.dtype == torch.bool else mask.tensor > MASKED
        allowed &= tensor.expand(*lead, queries, keys).reshape(allowed.shape).numpy()
    if not allowed.any(2).all():
        raise t.unsupported("a query that may read nothing")
    rows_k = k.at.reshape(heads, keys, -1)
    rows_v = v.at.reshape(heads, keys, -1)
    late = np.maximum(t.arena.ready[rows_k].max(2), t.arena.ready[rows_v].max(2))  # [heads, keys]
    own = (*(True,) * (len(lead) + 1), False)
    ready_q = t.ready(q, own).max(1)
    ready = np.maximum(ready_q, np.where(allowed, late[:, None], NEVER).max(2).ravel())[:, None]
    out = t.value(
        "attend", (*lead, queries, rows_v.shape[2]), own, [t.rows(q, own)], ready,
        macs=keys * (rows_k.shape[2] + rows_v.shape[2]), keys=rows_k, values=rows_v,
        allowed=allowed, scale=options.get("scale") or q.shape[-1] ** -0.5,
        mask=None if mask is None or mask.tensor.dtype == torch.bool else mask.name,
    )  # fmt: skip
    return (out,) if flash else out


__all__ = ["matmul_of_values"]
