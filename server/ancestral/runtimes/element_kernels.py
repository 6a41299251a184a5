"""The arithmetic of an element program's steps, on operands [slots, rows, columns]."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ancestral.compile.elements import ElementStep, Weight
from ancestral.compile.elements.arena import Ints
from ancestral.runtimes.kernels import BUILDERS, split

Weights = Mapping[str, Tensor]
Kernel = Callable[..., Tensor]
Read = Callable[[Tensor | None, Tensor], Tensor]


def element_kernel(
    step: ElementStep, weights: Weights, dtype: torch.dtype, columns: Ints | None, rows: Ints
) -> Kernel:
    """The function from a step's operands to its columns for a range of its rows.

    Besides the operands it takes `first` and `last`, the range within `rows`, and `read` and
    `slots`, for what it gathers itself.
    """
    build = _OWN.get(step.kind)
    if build is not None:
        return build(step, weights, dtype, rows)
    plain = BUILDERS[step.kind](step, weights, dtype, columns)
    return lambda *operands, **_: plain(*operands)


def _embedding(step: ElementStep, weights: Weights, dtype: torch.dtype, rows: Ints) -> Kernel:
    (name,) = [o.name for o in step.operands if isinstance(o, Weight)]
    table = weights[name]
    return lambda codes, **_: F.embedding(codes.long(), table).flatten(-2)


def _conv_transpose(step: ElementStep, weights: Weights, dtype: torch.dtype, rows: Ints) -> Kernel:
    """The taps of one phase as one product."""
    weight, groups, taps = (
        weights[step.attrs["weight"]], step.attrs["groups"], step.attrs["taps"],
    )  # fmt: skip
    bias = None if step.attrs["bias"] is None else weights[step.attrs["bias"]]
    blocks = [weight[(slice(None), slice(None), *tap)] for tap in taps]  # [in, out / groups]
    if not blocks:
        zero = weight.new_zeros(weight.shape[1] * groups) if bias is None else bias
        count = len(rows)
        return lambda x, first, last, **_: zero.expand(len(x), min(last - first, count), -1)
    if groups == 1:
        matrix = torch.cat(blocks, 0).T.contiguous()  # [out, taps · in]
        return lambda x, **_: F.linear(x, matrix, bias)
    stacked = torch.stack([split(b.T, groups, -1).movedim(1, 0).mT for b in blocks])

    def grouped(x: Tensor, **_: Any) -> Tensor:
        y = torch.einsum("...tgi,tgio->...go", split(x, len(taps), groups, -1), stacked)
        y = y.flatten(-2)
        return y if bias is None else y + bias

    return grouped


def _rms_norm(step: ElementStep, weights: Weights, dtype: torch.dtype, rows: Ints) -> Kernel:
    inner, eps = step.attrs["inner"], step.attrs["eps"]
    name = step.attrs["weights"][0]
    scale = None if name is None else weights[name].flatten()
    return lambda x, **_: F.rms_norm(x, (inner,), scale, eps)


def _group_norm(step: ElementStep, weights: Weights, dtype: torch.dtype, rows: Ints) -> Kernel:
    eps, per = step.attrs["eps"], step.attrs["per"]
    scale, bias = (
        None if n is None else weights[n][step.attrs["channels"]].repeat_interleave(per)
        for n in step.attrs["weights"]
    )
    return lambda x, **_: F.layer_norm(x, x.shape[-1:], scale, bias, eps)


def _running_sum(step: ElementStep, weights: Weights, dtype: torch.dtype, rows: Ints) -> Kernel:
    return lambda own, before, **_: own + before


def _dot(step: ElementStep, weights: Weights, dtype: torch.dtype, rows: Ints) -> Kernel:
    return lambda a, b, **_: (a * b).sum(-1)


def _rows_by_matrix(step: ElementStep, weights: Weights, dtype: torch.dtype, rows: Ints) -> Kernel:
    width = step.attrs["width"]

    def product(a: Tensor, b: Tensor, **_: Any) -> Tensor:
        return (a[..., None, :] @ split(b, -1, width)).squeeze(-2)

    return product


def _more_reductions(step: ElementStep, weights: Weights, dtype: torch.dtype, rows: Ints) -> Kernel:
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "prod": lambda x: x.prod(-1),
        "var": lambda x: x.var(-1, correction=step.attrs["correction"]),
        "any": lambda x: x.bool().any(-1),
        "all": lambda x: x.bool().all(-1),
    }
    function = functions[step.kind]
    return lambda x, **_: function(x)


def _attend(step: ElementStep, weights: Weights, dtype: torch.dtype, rows: Ints) -> Kernel:
    """One query after the other against the keys and values that its mask leaves."""
    allowed = step.attrs["allowed"]  # [heads, queries, keys]
    keys, values = (torch.from_numpy(np.array(step.attrs[name])) for name in ("keys", "values"))
    bias = None if step.attrs["mask"] is None else weights[step.attrs["mask"]]
    if bias is not None:
        bias = bias.expand(*allowed.shape) if bias.dim() < 4 else bias.expand(
            -1, allowed.shape[0], -1, -1)[0]  # fmt: skip
    queries = allowed.shape[1]
    reads = [torch.from_numpy(allowed[divmod(int(r), queries)].nonzero()[0]) for r in rows]
    scale = step.attrs["scale"]
    known: dict[
        int, tuple[Tensor, Tensor, Tensor | None]
    ] = {}  # by row: addresses, and the scores' bias

    def addresses(i: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor | None]:
        if i not in known:
            head, query = divmod(int(rows[i]), queries)
            at = reads[i]
            own = None if bias is None else bias[head, query, at.to(bias.device)]
            known[i] = (
                keys[head, at].reshape(-1).to(device),
                values[head, at].reshape(-1).to(device),
                own,
            )
        return known[i]

    def attend(q: Tensor, *, first: int, last: int, read: Read, slots: Tensor | None) -> Tensor:
        out = []
        for i in range(first, last):
            key_at, value_at, own = addresses(i, q.device)
            own_keys = read(slots, key_at).reshape(len(q), len(reads[i]), -1)
            own_values = read(slots, value_at).reshape(len(q), len(reads[i]), -1)
            scores = (own_keys @ q[:, i - first, :, None]).squeeze(-1) * scale
            if own is not None:
                scores = scores + own
            out.append((torch.softmax(scores, -1)[:, None] @ own_values).squeeze(1))
        return torch.stack(out, 1)

    return attend


_OWN: dict[str, Callable[[ElementStep, Weights, torch.dtype, Ints], Kernel]] = {
    "embedding": _embedding,
    "conv-transpose": _conv_transpose,
    "rms-norm": _rms_norm,
    "group-norm": _group_norm,
    "running-sum": _running_sum,
    "dot": _dot,
    "rows-by-matrix": _rows_by_matrix,
    "attend": _attend,
    **dict.fromkeys(("prod", "var", "any", "all"), _more_reductions),
}
