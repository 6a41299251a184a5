"""Which keys each query of an attention reads, at the length asked for.

A mask that follows from the positions alone says it for any length: it is evaluated at that length,
and what it leaves is the pattern. Caches and arithmetic follow the pattern (`runtimes/places.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ancestral.compile.graph import Graph
from ancestral.compile.place import Ints, Table
from ancestral.compile.rules.pointwise import MASKED
from ancestral.compile.step import Step

Allowed = npt.NDArray[np.bool_]  # [queries, keys]
WORTH = 0.75  # of the multiply-adds over all earlier keys: above it, gathering does not pay
KNOWN = 32  # patterns that a program remembers
_LIMIT = 1 << 26  # entries of a mask that is evaluated as a whole; above it, attention is dense


@dataclass(frozen=True, eq=False)
class Pattern:
    """`keys` [queries, most keys of a query] in ascending order, `counts` [queries] of them valid.

    The rest of a row repeats the query's first key (0 where it has none). `last` [keys] is the
    last query that reads each key, −1 where none does.
    """

    keys: Ints
    counts: Ints
    last: Ints

    @staticmethod
    def of(allowed: Allowed) -> Pattern:
        counts = allowed.sum(1)
        queries, found = np.nonzero(allowed)
        starts = np.cumsum(counts) - counts
        place = np.arange(found.size) - np.repeat(starts, counts)
        first = allowed.argmax(1)
        keys = np.repeat(first[:, None], max(int(counts.max()), 1), 1)
        keys[queries, place] = found
        last = np.full(allowed.shape[1], -1, dtype=np.int64)
        np.maximum.at(last, found, queries)
        return Pattern(keys, counts, last)

    @property
    def total(self) -> int:
        """Pairs of a query and a key that it reads."""
        return int(self.counts.sum())

    def most_alive(self, reach: int) -> int:
        """The most keys that are still to be read at once; key j comes at query j − reach."""
        read = np.flatnonzero(self.last >= 0)
        comes = np.maximum(read - reach, 0)
        read, comes = read[self.last[read] >= comes], comes[self.last[read] >= comes]
        change = np.zeros(len(self.last) + abs(reach) + 2, dtype=np.int64)
        np.add.at(change, comes, 1)
        np.add.at(change, self.last[read] + 1, -1)
        return int(change.cumsum().max())


class Patterns:
    """The patterns of a step program's attention steps, each found once for each length.

    `shape` is that of a picture: channels, rows, columns.
    """

    def __init__(self, graph: Graph, steps: tuple[Step, ...], shape: tuple[int, int, int]) -> None:
        self._graph, self._shape = graph, shape
        self._steps = {step.name: step for step in steps}
        self._image: bool = steps[0].attrs["image"]
        self._known: dict[tuple[str, int, int], Pattern | None] = {}

    def of(self, step: Step, sites: int) -> Pattern | None:
        """The pattern of an attention step's keys for items of so many sites.

        None where it follows from the data or from a condition, and where it is not sparse enough
        beside all earlier keys to be worth it. A `mix` reads the keys of its scores. The network of
        a picture has masks of the whole of it; of fewer sites they are the beginning.
        """
        wanted = (mask_of(step), step.attrs["reach"], sites)
        if wanted not in self._known:
            if len(self._known) >= KNOWN:
                self._known.pop(next(iter(self._known)))
            self._known[wanted] = self._find(step, sites)
        return self._known[wanted]

    def _find(self, step: Step, sites: int) -> Pattern | None:
        _, rows, columns = self._shape
        whole = rows * columns if self._image else sites
        found = self._of_mask if step.kind == "attend" else self._of_scores
        allowed = found(step, max(sites, whole))
        if allowed is None:
            return None
        allowed = allowed[:sites, :sites]
        distance = np.arange(allowed.shape[1])[None] - np.arange(allowed.shape[0])[:, None]
        pattern = Pattern.of(allowed & (distance <= step.attrs["reach"]))
        dense = sites * (sites + 1) / 2
        return pattern if pattern.total < WORTH * dense else None

    def _of_mask(self, step: Step, sites: int) -> Allowed | None:
        """Of fused attention: the mask is an operand."""
        masks = [o for o in step.operands if isinstance(o, Table)]
        if not masks or masks[0].fixed.item or sites * sites > _LIMIT:
            return None
        mask = self._evaluate(masks[0].fixed.name, sites)
        allowed = mask if mask.dtype == torch.bool else mask > MASKED
        allowed = allowed.reshape(-1, *allowed.shape[-2:]).any(0).expand(sites, sites)
        if not bool(allowed.any(1).all()):
            return None  # a query without keys
        found: Allowed = allowed.numpy()
        return found & np.tri(sites, dtype=bool) if step.attrs["causal"] else found

    def _of_scores(self, step: Step, sites: int) -> Allowed | None:
        """Of explicit attention: what constants make of scores that are all 0, before the softmax.

        Without a softmax, of scores that are all 1: what is 0 afterwards is not read.
        """
        steps = self._steps
        scores = root(steps, step)
        chain = [s for s in steps.values() if s.keyed and root(steps, s) is scores]
        if scores is None or any(
            isinstance(o, Table) and o.fixed.item for s in chain for o in s.operands
        ):
            return None
        ends = [s for s in chain if s.kind == "softmax-keys"]
        mixes = [s for s in steps.values() if s.kind == "mix" and root(steps, s) is scores]
        if len(ends) > 1 or len(mixes) != 1:
            return None
        before = (ends or mixes)[0].operands[0].source
        if steps[before] is scores:
            return None  # nothing masks them
        _, rows, columns = self._shape
        sizes = {"batch": 1, "key": sites, "flat": sites, "row": rows, "col": columns}
        dims: Any = scores.attrs["dims"]
        shape = [int(np.prod([sizes.get(a.kind, a.size) for a in dim], dtype=int)) for dim in dims]
        if np.prod(shape) > _LIMIT:
            return None
        blank = torch.zeros(shape) if ends else torch.ones(shape)
        found = self._evaluate(steps[before].attrs["node"], sites, {scores.attrs["node"]: blank})
        kept = found > MASKED if ends else found != 0
        kept = kept.reshape(-1, *kept.shape[-2:])
        # softmax over a row that is masked as a whole reads everything
        return np.asarray((kept | ~kept.any(-1, keepdim=True) if ends else kept).any(0).numpy())

    def _evaluate(
        self, name: str, sites: int, known: dict[str, torch.Tensor] | None = None
    ) -> torch.Tensor:
        """A node that does not follow from the data, for items of so many sites, at batch one."""
        graph = self._graph
        if known:
            nodes = tuple(n for n in graph.nodes if n.name not in known)
            graph = replace(graph, constants={**graph.constants, **known}, nodes=nodes)
        shape = [1, *self._shape] if self._image else [1, sites]
        inputs = [torch.zeros(shape, dtype=torch.int64), *(None for _ in graph.inputs[1:])]
        found: torch.Tensor = graph.run(inputs, {name})[name]
        return found.cpu()


def mask_of(step: Step) -> str:
    """What names a step's pattern: its mask, which layers may share, or the step itself."""
    masks = [o.fixed.name for o in step.operands if isinstance(o, Table)]
    return masks[0] if step.kind == "attend" and masks else step.name


def root(steps: dict[str, Step], step: Step) -> Step | None:
    """The scores behind a keyed step; None where it combines several."""
    if step.kind in ("scores", "attend"):
        return step
    found = set()
    for operand in step.operands[: 1 if step.kind == "mix" else None]:
        source = steps.get(getattr(operand, "source", ""))
        if source is not None and source.keyed:
            found.add(root(steps, source))
    return found.pop() if len(found) == 1 else None
