"""How slots draw, and what recordings draw: tensors on the device that stay where they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ancestral.likelihoods.base import Likelihood
from ancestral.runtimes.base import SlotRequest
from ancestral.runtimes.cuda.noise import as_signed, uniforms

NO_CUT = 2.0  # a top_p that cuts nothing


class Draws:
    """Seeds and settings by slot; of a recording, by site and place: what is fixed, what is drawn.

    `slots` have settings, `places` are drawn for at once, `most` sites.
    """

    def __init__(
        self,
        likelihood: Likelihood,
        params: tuple[int, int],
        dims: int,
        slots: int,
        places: int,
        most: int,
        device: torch.device,
    ) -> None:
        self._likelihood = likelihood
        self.codes = codes = torch.int64 if likelihood.discrete else torch.float32

        def room(*shape: int, of: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(shape, dtype=of, device=device)

        self._seed, self._item = room(slots), room(slots)
        self._dimensions = torch.arange(dims, device=device)
        self._temperature = room(slots, 1, of=torch.float64) + 1
        self._top_k = room(slots, 1) + likelihood.n_params
        self._top_p = room(slots, 1, of=torch.float64) + NO_CUT
        self._fixed = room(most, places, dims, of=torch.bool)
        self._known = room(most, places, dims, of=codes)
        self._params = room(most, places, *params, of=torch.float32)
        self._values = room(most, places, dims, of=codes)
        self._nats = room(most, places, dims, of=torch.float64)
        self.cuts = False

    def set(self, requests: Sequence[SlotRequest]) -> None:
        """What the first slots are and how they draw."""
        n, how = len(requests), [r.sampling for r in requests]
        self._seed[:n] = torch.tensor([as_signed(r.seed) for r in requests])
        self._item[:n] = torch.tensor([r.item for r in requests])
        self._temperature[:n, 0] = torch.tensor([float(s.temperature) for s in how]).double()
        every = self._likelihood.n_params
        self._top_k[:n, 0] = torch.tensor([s.top_k or every for s in how])
        cuts = [NO_CUT if s.top_p is None else s.top_p for s in how]
        self._top_p[:n, 0] = torch.tensor(cuts, dtype=torch.float64)
        self.cuts = any(s.top_k is not None or s.top_p is not None for s in how)

    def give(self, fixed: Tensor, known: Tensor) -> None:
        """What is fixed at the sites of the next recording, and its values [sites, n, C]."""
        sites, n = fixed.shape[:2]
        self._fixed[:sites, :n].copy_(fixed)
        self._known[:sites, :n].copy_(known)

    def site(
        self, at: int, slots: slice | Tensor, rank: Tensor, subs: int, *, given: bool, cuts: bool
    ) -> Callable[[int, Tensor], Tensor]:
        """The draw of a recording's site number `at`, for `slots` at `rank` [n]."""
        noise = uniforms(self._seed[slots], self._item[slots], rank, self._dimensions)
        n = len(rank)

        def draw(sub: int, params: Tensor) -> Tensor:
            one_by_one = params.shape[1] > 1 and subs > 1
            dims = slice(sub, sub + 1) if one_by_one else slice(None)
            params = params[:, dims].float()
            drawn = self._likelihood.sample(
                params,
                noise[:, dims],
                temperature=self._temperature[slots],
                top_k=self._top_k[slots] if cuts else None,
                top_p=self._top_p[slots] if cuts else None,
            ).to(self._values.dtype)
            if given:
                drawn = torch.where(self._fixed[at, :n, dims], self._known[at, :n, dims], drawn)
            self._params[at, :n, dims] = params
            self._values[at, :n, dims] = drawn
            return drawn

        return draw

    def score(self, sites: int, n: int) -> None:
        """The nats of what a recording has drawn."""
        params, values = self._params[:sites, :n], self._values[:sites, :n]
        self._nats[:sites, :n].copy_(self._likelihood.log_prob(params.double(), values))

    def results(self, sites: int, n: int) -> list[Tensor]:
        """Values and nats [sites, n, C] of the last recording."""
        return [self._values[:sites, :n], self._nats[:sites, :n]]
