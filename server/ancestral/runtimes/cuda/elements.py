"""Element programs on a GPU: the sites of an item, each with its own operations, as graphs.

A site computes other elements than the one before it. A recording is therefore of certain sites:
a row of an image from its first column on, or a single site where slots come, go or have values of
their own. Slots at one rank share it, whichever they are: their numbers are a tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ancestral.compile.elements import ElementProgram
from ancestral.likelihoods.base import Likelihood
from ancestral.runtimes.base import SlotRequest
from ancestral.runtimes.cuda.capture import Capture, Work
from ancestral.runtimes.cuda.draws import Draws
from ancestral.runtimes.elements import Elements

LONGEST = 64  # sites of a recording
Kind = tuple[int, int, int, bool, bool]  # slots, first site, sites, known values, cuts


class CudaElements(Elements):
    """Slots of an element program, in float32; see `runtimes.running.Batch`.

    Recordings are made for powers of two of slots; places beyond those that run compute in an arena
    that belongs to nobody, the last.
    """

    def __init__(
        self,
        program: ElementProgram,
        likelihood: Likelihood,
        dims: int,
        slots: int,
        device: torch.device,
        capture: Capture,
    ) -> None:
        codes = torch.int64 if likelihood.discrete else torch.float32
        super().__init__(program, slots + 1, torch.float32, device, codes)
        self._slots, self._dims, self._capture = slots, dims, capture
        self._total = len(program.codes) // program.subs
        self._span = min(program.columns, LONGEST)
        self._draws = Draws(
            likelihood, program.params_shape, dims, slots + 1, slots, self._span, device
        )
        self._chosen = torch.zeros(slots, dtype=torch.int64, device=device)
        self._recorded: dict[Kind, Work] = {}

    def draws(self, requests: Sequence[SlotRequest]) -> None:
        """How the running slots draw; to be called before `run`."""
        self._draws.set(requests)

    def run(self, sites: int, fixed: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Advance all running slots; `fixed` and `known` [sites, n, C] on the host.

        Returns values and nats [sites, n, C] on the host.
        """
        pending: list[tuple[list[int], slice, Callable[[], list[Tensor]]]] = []
        for rank in sorted(set(self.ranks[: self.n])):
            members = [i for i in range(self.n) if self.ranks[i] == rank]
            count = min(1 << (len(members) - 1).bit_length(), self._slots)
            nobody = [self._slots] * (count - len(members))
            self._chosen[:count].copy_(torch.tensor(members + nobody))
            done = 0
            while done < sites:
                length = self._next(rank + done, sites - done)
                part = slice(done, done + length)
                given = bool(fixed[part, members].any())
                if given:
                    self._draws.give(fixed[part, members], known[part, members])
                kind = (count, rank + done, length, given, self._draws.cuts)
                if kind not in self._recorded:
                    self._recorded[kind] = self._record(kind)
                self._recorded[kind]()
                results = self._draws.results(length, len(members))
                pending.append((members, part, self._capture.copy_out(results)))
                done += length
        values = torch.empty((sites, self.n, self._dims), dtype=self._draws.codes)
        nats = torch.empty((sites, self.n, self._dims), dtype=torch.float64)
        for members, part, wait in pending:
            values[part, members], nats[part, members] = wait()
        for i in range(self.n):
            self.ranks[i] += sites
        return values, nats

    def _next(self, rank: int, left: int) -> int:
        """Sites of the next recording from `rank` on."""
        whole = min(self._span, self._total - rank)
        return whole if rank % self._span == 0 and left >= whole else 1

    def _record(self, kind: Kind) -> Work:
        n, first, count, given, cuts = kind
        slots, subs = self._chosen[:n], self.program.subs

        def work() -> None:
            for k in range(count):
                rank = torch.full_like(slots, first + k)
                draw = self._draws.site(k, slots, rank, subs, given=given, cuts=cuts)
                for sub in range(subs):
                    values = draw(sub, self.compute(slots, first + k, sub))
                    self.put(slots, first + k, sub, values)
            self._draws.score(count, n)

        return self._capture.record(work, [self._arena])
