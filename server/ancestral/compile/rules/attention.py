"""Attention: keys and values become caches under the mask.

A score matrix has a query axis (the site) and a key axis. Its rows would read keys of the future,
so the proof follows the constants that mask them: what softmax turns into zero is not read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ancestral.compile.place import (
    Atom,
    Dim,
    Fixed,
    Ints,
    Value,
    View,
    has,
    moved,
    payload_shape,
)
from ancestral.compile.rules.pointwise import MASKED
from ancestral.compile.tracer import Tracer, rule

Allowed = npt.NDArray[np.bool_]  # [queries, keys]


def _site_axis(view: View) -> int | None:
    found = [i for i, dim in enumerate(view.dims) if has(dim, "row", "col", "flat")]
    return found[0] if len(found) == 1 else None


def _one_site(t: Tracer, view: View) -> View:
    """The view on the flat lattice, with its pads made real."""
    view = t.to_flat(view)
    if _site_axis(view) is None:
        raise t.unsupported("attention over rows and columns that are not flattened")
    return view


def matmul_of_values(t: Tracer, a: View, b: View) -> View:
    """q·kᵀ (a query axis against a key axis) or a·v (a key axis contracted)."""
    if a.keyed:
        return _mix(t, a, b)
    a, b = _one_site(t, a), _one_site(t, b)
    if _site_axis(a) != len(a.dims) - 2 or _site_axis(b) != len(b.dims) - 1:
        raise t.unsupported("a product of two computed values that is not queries times keys")
    width = payload_shape(a.dims)[-1]
    if payload_shape(b.dims)[-2] != width:
        raise t.unsupported("queries and keys of different widths")
    b = _shared(t, a, b)
    lead, heads = _heads(t, a, b, a.dims[:-2], b.dims[:-2])
    size = b.extent[1]
    dims = (*lead, a.dims[-2], (Atom("key", size),))
    ready = a.ready.reshape(-1, width).max(1)
    out = t.value(
        "scores", dims, "flat", a.extent, [t.take(a), t.take(b)],
        np.broadcast_to(_per_head(ready, heads), (heads,)), heads=heads, width=width, reach=None,
        macs=heads * width,
    )  # fmt: skip
    out.value.keyed = True
    out.value.key_ready = int(b.ready.max())
    out.value.key_steps = [out.value]
    t.attention_size = (a.extent[1], size)
    return out


def _mix(t: Tracer, a: View, b: View) -> View:
    b = _one_site(t, b)
    if _site_axis(b) != len(b.dims) - 2 or not has(a.dims[-1], "key"):
        raise t.unsupported("an attention matrix times something that is not values")
    known = a.known
    allowed: Allowed = np.ones(t.attention_size, bool) if known is None else ~(known == 0)
    reach = _resolve(t, a.value, allowed)
    width = payload_shape(b.dims)[-1]
    b = _shared(t, a, b)
    lead, heads = _heads(t, a, b, a.dims[:-2], b.dims[:-2])
    dims = (*lead, a.dims[-2], b.dims[-1])
    scores_ready = np.broadcast_to(_folded(a.value, reach).max(), (heads, width))
    values_ready = int(moved(b.ready, 0, reach).max())
    return t.value(
        "mix", dims, "flat", a.extent, [t.take(a), t.take(b)],
        np.maximum(scores_ready, values_ready).ravel(), heads=heads, width=width, reach=reach,
        macs=heads * width,
    )  # fmt: skip


def softmax_over_keys(t: Tracer, x: View) -> View:
    """Softmax along the keys: masked scores become zeros, and their keys are not read."""
    known = np.full(t.attention_size, np.nan) if x.known is None else x.known
    masked = known <= MASKED
    kept = ~masked.all(axis=1, keepdims=True)  # a row that is masked as a whole reads everything
    zero = masked & kept
    reach = _resolve(t, x.value, ~zero)
    ready = _folded(x.value, reach)
    out = t.value("softmax-keys", x.dims, x.space, x.extent, [t.take(x)], ready)
    out.value.keyed = True
    after = np.where(zero, 0.0, np.nan)
    return View(out.value, x.dims, x.extent, x.shift, x.valid, out.pmap, after)


def _resolve(t: Tracer, value: Value, allowed: Allowed) -> int:
    """The furthest key after the query that is read (0: up to the query's own position)."""
    queries, keys = np.nonzero(allowed)
    reach = int((keys - queries).max()) if keys.size else 0
    if reach > 0 and allowed.all():
        reach = allowed.shape[1]
    for step in value.key_steps:
        step.attrs["reach"] = reach
    return reach


def _folded(value: Value, reach: int) -> Ints:
    """The ready keys of an attention row once the reach of its keys is known."""
    return np.maximum(value.ready, int(moved(np.array([value.key_ready]), 0, reach)[0]))


def _shared(t: Tracer, a: View, b: View) -> View:
    """Keys or values that several heads read, as often as they are read."""
    lead, own = payload_shape(a.dims[:-2]), payload_shape(b.dims)
    if len(a.dims) != len(b.dims) or own[:-2] == lead:
        return b
    index = np.arange(b.pmap.size).reshape(own)
    dims = tuple(q or p for p, q in zip(a.dims[:-2], b.dims[:-2], strict=True))
    return t.moved_view(
        b, (*dims, *b.dims[-2:]), np.broadcast_to(index, (*lead, *own[-2:])).ravel()
    )


def _heads(
    t: Tracer, a: View, b: View, lead_a: tuple[Dim, ...], lead_b: tuple[Dim, ...]
) -> tuple[tuple[Dim, ...], int]:
    """The leading dims (batch and heads) of a product of two computed values."""
    sizes = [int(np.prod(payload_shape(lead))) for lead in (lead_a, lead_b)]
    if sizes[0] != sizes[1] or len(lead_a) != len(lead_b):
        raise t.unsupported("keys or values shared between heads")
    return lead_a, sizes[0]


def _per_head(ready: Ints, heads: int) -> Ints:
    return ready if ready.size == heads else np.broadcast_to(ready.max(), (heads,))


@rule(
    "aten.scaled_dot_product_attention",
    "aten._scaled_dot_product_flash_attention_for_cpu",
)
def attend(t: Tracer, q: View, k: View, v: View, *args: Any, **kwargs: Any) -> Any:
    """Fused attention, dot-product scores scaled by `scale` or 1/√width."""
    flash = t.node.packet.endswith("cpu")
    names = ["dropout_p", "is_causal"] if flash else ["attn_mask", "dropout_p", "is_causal"]
    options = {**dict(zip(names, args, strict=False)), **kwargs}
    if options.get("dropout_p"):
        raise t.unsupported("attention dropout; export the module in eval mode")
    q, k, v = _one_site(t, q), _one_site(t, k), _one_site(t, v)
    mask = options.get("attn_mask")
    size = (q.extent[1], k.extent[1])
    allowed: Allowed = np.ones(size, dtype=bool)
    if options.get("is_causal"):
        allowed &= np.tri(*size, dtype=bool)
    if isinstance(mask, View):
        raise t.unsupported("an attention mask computed from the data")
    width, heads = payload_shape(q.dims)[-1], int(np.prod(payload_shape(q.dims[:-2])))
    operands: list[Any] = [t.take(q), t.take(k), t.take(v)]
    if mask is not None:
        allowed &= _mask_allows(mask)
        site, keys = q.dims[-2], (Atom("key", size[1]),)
        operands.append(t.table(mask, (*q.dims[:-2], site, keys)))
    queries, keys_read = np.nonzero(allowed)
    reach = int((keys_read - queries).max())
    late = max(int(k.ready.max()), int(v.ready.max()))
    ready = max(int(q.ready.max()), int(moved(np.array([late]), 0, reach)[0]))
    value_width = payload_shape(v.dims)[-1]
    out = t.value(
        "attend", (*q.dims[:-1], v.dims[-1]), "flat", q.extent, operands,
        np.full(heads * value_width, ready), heads=heads, width=width, value_width=value_width,
        reach=reach, scale=options.get("scale") or width**-0.5,
        causal=bool(options.get("is_causal")), macs=heads * (width + value_width),
    )  # fmt: skip
    return (out,) if flash else out


def _mask_allows(mask: Fixed) -> Allowed:
    """Which keys any head may read; a row that is masked as a whole reads everything."""
    tensor = mask.tensor
    allowed = tensor if tensor.dtype == torch.bool else tensor > MASKED
    allowed = allowed.reshape(-1, *allowed.shape[-2:]).any(0)
    return (allowed | ~allowed.any(1, keepdim=True)).numpy()
