"""The steps of attention: one query per slot against the keys of its past."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ancestral.compile.place import Table
from ancestral.compile.step import Read, Step
from ancestral.runtimes.caches import Caches
from ancestral.runtimes.fetch import Fetch, fetch, lookup
from ancestral.runtimes.stand import Stand


def attention_kernel(caches: Caches, step: Step) -> Fetch:
    """A step that appends to its caches and reads them."""
    keys = caches.keys
    reads = [fetch(caches, o, step) for o in step.operands if isinstance(o, Read)]
    heads, width = step.attrs.get("heads", 1), step.attrs.get("width", 1)
    if step.kind == "scores":

        def scores(at: Stand) -> Tensor:
            past = keys.append(at, step, 1, reads[1](at))
            query = reads[0](at).reshape(at.n, heads, width, 1)
            return (past @ query).squeeze(-1)

        return scores
    if step.kind == "mix":

        def mix(at: Stand) -> Tensor:
            past = keys.append(at, step, 1, reads[1](at))
            weights = reads[0](at)[..., None, :]  # [slots, heads, 1, keys]
            own = keys.past(at, step)
            if own is not None:
                weights = weights * own[:, :, None]
            return (weights[..., : past.shape[2]] @ past).reshape(at.n, -1)

        return mix
    if step.kind == "softmax-keys":

        def softmax(at: Stand) -> Tensor:
            scores, own = reads[0](at), keys.valid(at, step)
            if own is not None:
                scores = scores.masked_fill(~own, float("-inf"))
            return scores.softmax(-1)

        return softmax
    masks = [lookup(caches, o, step) for o in step.operands if isinstance(o, Table)]

    def attend(at: Stand) -> Tensor:
        past_keys = keys.append(at, step, 1, reads[1](at))
        past_values = keys.append(at, step, 2, reads[2](at))
        query = reads[0](at).reshape(at.n, heads, 1, width)
        own = keys.past(at, step)
        mask = None if own is None else own[:, :, None]
        if masks:
            row = masks[0](at)[:, :, None]
            mask = row if mask is None else _both(row, mask)
        out = F.scaled_dot_product_attention(
            query, past_keys, past_values, attn_mask=mask, scale=step.attrs["scale"]
        )
        return out.reshape(at.n, -1)

    return attend


def _both(mask: Tensor, own: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        return mask & own
    return mask.masked_fill(~own, float("-inf"))
