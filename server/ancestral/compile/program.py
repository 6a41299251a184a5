"""The StepProgram: what is computed when a row starts, at each site, at each channel; from what.

The program is affine. A step says how its index follows from the site (`lead`), which elements of
which values it reads (`Read`: rows of lag, columns of offset) and how many rows or steps of its
own result must be kept (`ring`). Nothing in it grows with the number of sites.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ancestral.compile.graph import Graph
from ancestral.compile.place import Space
from ancestral.compile.sparsity import Pattern, Patterns
from ancestral.compile.step import ATTENTION, Read, Step


@dataclass(frozen=True, eq=False)
class StepProgram:
    """A derived sampler: the steps, the params they end in, and the graph they came from.

    `channels` is the number of values per site, `subs` how many of them are drawn one after the
    other (1: all at once from one parameter vector). Its order is raster, or time.
    """

    graph: Graph
    space: Space
    rows: int
    columns: int
    channels: int
    subs: int
    steps: tuple[Step, ...]
    params: Read
    params_shape: tuple[int, int]  # parameter vectors per site, parameters in each

    order = None

    @property
    def row_steps(self) -> tuple[Step, ...]:
        return tuple(s for s in self.steps if s.phase == "row")

    @property
    def site_steps(self) -> tuple[Step, ...]:
        return tuple(s for s in self.steps if s.phase == "site")

    @property
    def summary(self) -> str:
        """The program's size in words."""
        return f"{len(self.site_steps)} steps a site, {len(self.row_steps)} a row"

    @property
    def phase_sites(self) -> int:
        """Sites between two places where a new sequence can join the running batch."""
        return self.columns if self.space == "grid" else 1

    def macs_per_item(self, sites: int) -> int:
        """Multiply-adds to sample an item of so many sites."""
        rows = -(-sites // self.columns) if self.space == "grid" else 1
        total = 0
        for step in self.steps:
            if step.phase == "row":
                total += rows * step.extent[1] * step.macs
            else:
                times = self.keys_read(step, sites) if step.kind in ATTENTION else sites
                total += times * step.macs
        return total

    def pattern(self, step: Step, sites: int) -> Pattern | None:
        """Which keys an attention step reads in items of so many sites; None: all earlier ones."""
        return self._patterns.of(step, sites)

    @cached_property
    def _patterns(self) -> Patterns:
        return Patterns(self.graph, self.steps, (self.channels, self.rows, self.columns))

    def keys_read(self, step: Step, sites: int) -> int:
        """Keys that an attention step reads over an item of so many sites."""
        pattern = self.pattern(step, sites)
        return sites * (sites + 1) // 2 if pattern is None else pattern.total

    def keys_kept(self, step: Step, sites: int) -> int:
        """The most keys that an attention step keeps at once."""
        pattern = self.pattern(step, sites)
        return sites if pattern is None else pattern.most_alive(step.attrs["reach"])

    def describe(self) -> str:
        """One line per step, for people."""
        lines = []
        for step in self.steps:
            reads = [
                f"{o.source}{list(o.taps) if o.taps != ((0, 0),) else ''}"
                for o in step.operands
                if isinstance(o, Read)
            ]
            kept = f" keep {step.ring.length}" if step.ring else ""
            subs = sorted(set(step.sub.tolist()))
            sub = f" sub {subs[0]}" if len(subs) == 1 else f" subs {subs[0]}..{subs[-1]}"
            lines.append(
                f"{step.phase:4} {step.space:5}{sub} {step.kind:12} {step.name} [{step.payload}]"
                f" ← {', '.join(reads)}{kept}"
            )
        return "\n".join(lines)
