"""Attention in a straight line: all keys that there is room for, those of later sites masked."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ancestral.compile.place import Table
from ancestral.compile.step import Read, Step
from ancestral.runtimes.caches import Caches
from ancestral.runtimes.straight.addresses import Addresses
from ancestral.runtimes.straight.fetch import Fetch, fetch, lookup
from ancestral.runtimes.straight.state import State, key_name

NEVER = float("-inf")


def attention(caches: Caches, addresses: Addresses, names: dict[int, str], step: Step) -> Fetch:
    """A step that appends to its caches and reads them."""
    reads = [fetch(caches, addresses, o, step) for o in step.operands if isinstance(o, Read)]
    heads, width = step.attrs.get("heads", 1), step.attrs.get("width", 1)
    if step.kind == "scores":

        def scores(s: State) -> Tensor:
            past = _append(caches, s, step, 1, reads[1](s))
            query = reads[0](s).reshape(-1, heads, width, 1)
            return (past @ query).squeeze(-1)

        return scores
    if step.kind == "mix":

        def mix(s: State) -> Tensor:
            past = _append(caches, s, step, 1, reads[1](s))
            weights = torch.where(_own(caches, s, step), reads[0](s), 0.0)
            return (weights[..., None, :] @ past).flatten(1)

        return mix
    if step.kind == "softmax-keys":

        def softmax(s: State) -> Tensor:
            given = reads[0](s)
            if caches.keys.root(step).name in caches.keys.sparse():
                given = torch.where(_own(caches, s, caches.keys.root(step)), given, NEVER)
            return given.softmax(-1)

        return softmax
    masks = [keyed(caches, names, o, step) for o in step.operands if isinstance(o, Table)]
    scale = step.attrs["scale"]
    scale = 1 / math.sqrt(width) if scale is None else scale

    def attend(s: State) -> Tensor:
        past_keys = _append(caches, s, step, 1, reads[1](s))
        past_values = _append(caches, s, step, 2, reads[2](s))
        query = (reads[0](s) * scale).reshape(-1, heads, width, 1)
        found = (past_keys @ query).squeeze(-1)  # [n, heads, keys]
        seen = _own(caches, s, step)
        if masks:
            mask = masks[0](s)
            if mask.dtype == torch.bool:
                seen = seen & mask
            else:
                found = found + mask
        weights = torch.where(seen, found, NEVER).softmax(-1)
        return (weights[..., None, :] @ past_values).flatten(1)

    return attend


def keyed(caches: Caches, names: dict[int, str], table: Table, step: Step) -> Fetch:
    """A table's row of keys, those that are read: [n or 1, heads or 1, keys]."""
    entry = lookup(caches, names, table, step)
    root = caches.keys.root(step)

    def visible(s: State) -> Tensor:
        row = entry(s)
        row = row if row.dim() == 3 else row[:, None] if row.dim() == 2 else row[None]
        if root.name not in caches.keys.sparse():
            return row
        slot = s.at.slot if row.shape[0] > 1 else torch.zeros_like(s.at.slot)
        found: Tensor = row.permute(0, 2, 1)[slot[:, None], _query(s, root, "keys")]
        return found.permute(0, 2, 1)

    return visible


def _query(s: State, step: Step, what: str) -> Tensor:
    """What a sparse pattern says of the slots' own queries."""
    lists = s.statics[f"places/{step.name}/{what}"]
    query = (s.at.rank - step.lead[1]).clamp_min(0)
    return lists.index_select(0, torch.minimum(query, s.statics[f"places/{step.name}/last"]))


def _own(caches: Caches, s: State, step: Step) -> Tensor:
    """Which of the keys read are a slot's own, [n, 1, keys]."""
    if step.name in caches.keys.sparse():
        counts = _query(s, step, "counts")
        order = s.statics[f"places/{step.name}/order"]
        return (order < counts[:, None])[:, None]
    newest = (s.at.rank + (step.attrs["reach"] - step.lead[1])).clamp_min(0)
    seen: Tensor = s.at.keys <= newest[:, None]
    return seen[:, None]


def _append(caches: Caches, s: State, step: Step, operand: int, value: Tensor) -> Tensor:
    """Add this site's key and give those that are read: [n, heads, keys, width]."""
    name, heads = key_name(step.name, operand), int(step.attrs["heads"])
    key = s.at.rank + (step.attrs["reach"] - step.lead[1])
    sparse = step.name in caches.keys.sparse()
    place, kept = key.clamp_min(0), key >= 0
    if sparse:
        table = s.statics[f"places/{step.name}/place"]
        final = s.statics[f"places/{step.name}/final"]
        there = table.index_select(0, torch.minimum(key.clamp_min(0), final))
        kept = kept & (there >= 0) & (key <= final)
        place = there.clamp_min(0)
    head = torch.arange(heads, device=key.device)[None]
    index = (s.at.slot[:, None], head, place[:, None])
    value = value.reshape(-1, heads, caches.keys.width(step, operand))
    if sparse or step.attrs["reach"] - step.lead[1] < 0:  # else every site's key is kept
        value = torch.where(kept[:, None, None], value, s.stores[name][index])
    s.put(name, index, value)
    store = s.stores[name]
    if not sparse:
        return store
    chosen = _query(s, step, "places")  # [n, keys]
    found: Tensor = store[s.at.slot[:, None, None], head[..., None], chosen[:, None]]
    return found
