"""What every runtime keeps of a running sequence: its values so far, its noise, what is fixed.

A runtime computes parameters; the bookkeeping around them is the same whichever way it does so.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ancestral.likelihoods.noise import uniforms
from ancestral.runtimes.base import Advance, Nats, SlotRequest, Values

NOISE_SITES = 256  # sites of noise drawn at a time: one vectorised Philox call amortises over them


class SlotState:
    """One open slot, with arrays in generation order (row `r` is the site of rank `r`).

    site      next site to be computed
    values    [S, C] int64 codes or float64; holds the fixed values from the start
    log_prob  [S, C] nats of the untempered model, zero where not yet computed
    given     [S, C] true where the caller knew the value (reported; not part of the sampled score)
    fixed     [S, C] true where the value is not to be drawn: given, or replayed
    prefix    length of the leading run of sites that are wholly given
    """

    __slots__ = (
        "_noise",
        "_noise_first",
        "fixed",
        "given",
        "log_prob",
        "prefix",
        "reported",
        "request",
        "site",
        "slot",
        "values",
    )

    bytes_per_value = 8 + 8 + 1 + 1  # value, log_prob, given, fixed

    def __init__(
        self, slot: int, request: SlotRequest, dims: int, discrete: bool, *, joint: bool = False
    ) -> None:
        """Lay out a slot of `request.sites` sites of `dims` dimensions.

        A `joint` likelihood draws a site's dimensions together. Raises ValueError where the
        request's arrays do not have that shape, or know a part of a jointly drawn site.
        """
        if request.sites < 1:
            raise ValueError(f"sites must be at least 1, not {request.sites}")
        shape = (request.sites, dims)
        self.slot = slot
        self.request = request
        self.site = 0
        self.reported = 0
        self.values: Values = np.zeros(shape, dtype=np.int64 if discrete else np.float64)
        self.log_prob: Nats = np.zeros(shape)
        self.given: npt.NDArray[np.bool_] = np.zeros(shape, dtype=np.bool_)
        self._fill_known(request, shape)
        if joint and (self.given.any(axis=1) != self.given.all(axis=1)).any():
            site = int(np.flatnonzero(self.given.any(axis=1) != self.given.all(axis=1))[0])
            raise ValueError(
                f"known holds a part of site {site}, whose {dims} dimensions are drawn jointly: "
                "give all of them or none"
            )
        self.fixed = self.given.copy()
        self._fill_replay(request, shape)
        open_sites = np.flatnonzero(~self.given.all(axis=1))
        self.prefix = int(open_sites[0]) if open_sites.size else request.sites
        self._noise = np.empty((0, dims, 2))
        self._noise_first = 0

    def _fill_known(self, request: SlotRequest, shape: tuple[int, int]) -> None:
        if request.known is None:
            if request.known_mask is not None:
                raise ValueError("known_mask is given without known values")
            return
        if request.known.shape != shape:
            raise ValueError(f"known has shape {request.known.shape}, the slot is {shape}")
        if request.known_mask is None:
            self.given[:] = True
        elif request.known_mask.shape != shape:
            raise ValueError(
                f"known_mask has shape {request.known_mask.shape}, the slot is {shape}"
            )
        else:
            self.given[:] = request.known_mask
        self.values[self.given] = request.known[self.given]

    def _fill_replay(self, request: SlotRequest, shape: tuple[int, int]) -> None:
        if request.replay is None:
            return
        count = len(request.replay)
        if request.replay.shape[1:] != shape[1:] or count > shape[0]:
            raise ValueError(f"replay has shape {request.replay.shape}, the slot is {shape}")
        self.values[:count] = request.replay
        self.fixed[:count] = True

    @property
    def sites(self) -> int:
        return len(self.values)

    @property
    def done(self) -> bool:
        return self.site >= self.sites

    def uniforms(self, site: int) -> npt.NDArray[np.float64]:
        """Words 0 and 1 of the noise of a site, [C, 2] float64 in (0, 1).

        They depend on (seed, item, site, dimension) alone, whatever chunk they were drawn in.
        """
        if not self._noise_first <= site < self._noise_first + len(self._noise):
            self._noise_first = site - site % NOISE_SITES
            last = min(self._noise_first + NOISE_SITES, self.sites)
            ranks = np.arange(self._noise_first, last)[:, None]
            dimensions = np.arange(self.values.shape[1])[None, :]
            drawn = uniforms(self.request.seed, self.request.item, ranks, dimensions)
            self._noise = drawn[..., :2]
        words: npt.NDArray[np.float64] = self._noise[site - self._noise_first]
        return words

    def take(self, first: int, last: int) -> Advance:
        """The sites first..last-1 as an Advance, whose arrays are copies."""
        return Advance(
            slot=self.slot,
            first_site=first,
            values=self.values[first:last].copy(),
            log_prob=self.log_prob[first:last].copy(),
            given=self.given[first:last].copy(),
            done=last == self.sites,
        )

    def take_new(self) -> Advance:
        """Everything computed since the last call: the prefix, the replayed and the drawn sites."""
        advance = self.take(self.reported, self.site)
        self.reported = self.site
        return advance
