"""Sample by running the whole forward pass again for every site: slow, obvious, right.

The oracle that the fast runtimes are tested against, and the fallback for what cannot be derived.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from ancestral.models.network import Network
from ancestral.runtimes.base import Advance, SlotRequest
from ancestral.runtimes.slot import SlotState


class NaiveRuntime:
    """A `Runtime` whose every site costs one forward pass (D of them for per-channel parameters).

    Each slot is evaluated alone, at batch one, so its values cannot depend on its neighbours.
    `order` maps a site's rank to its position in raster or time order; None is the identity.
    """

    def __init__(
        self,
        network: Network,
        slots: int,
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        order: npt.NDArray[np.int64] | None = None,
    ) -> None:
        if slots < 1:
            raise ValueError(f"slots must be at least 1, not {slots}")
        self._network = copy.deepcopy(network).to(device=device, dtype=dtype).eval()
        self._likelihood = network.likelihood
        self._data = network.data
        self._dtype = dtype
        self._device = torch.device(device)
        self._order = order
        self._states: list[SlotState | None] = [None] * slots
        self._conditions: list[tuple[torch.Tensor, ...]] = [()] * slots

    @property
    def name(self) -> str:
        return "naive"

    @property
    def slots(self) -> int:
        return len(self._states)

    @property
    def free(self) -> int:
        return sum(state is None for state in self._states)

    @property
    def derived(self) -> bool:
        return False

    @property
    def phase_sites(self) -> int:
        return 1

    @property
    def weights(self) -> list[torch.Tensor]:
        return [*self._network.parameters(), *self._network.buffers()]

    def slot_bytes(self, sites: int) -> int:
        return SlotState.bytes_per_value * sites * self._data.dims_per_site

    def open(self, request: SlotRequest) -> int:
        if self.free == 0:
            raise RuntimeError(f"all {self.slots} slots are taken")
        slot = self._states.index(None)
        state = SlotState(
            slot,
            request,
            self._data.dims_per_site,
            self._likelihood.discrete,
            joint=self._likelihood.joint,
        )
        self._conditions[slot] = tuple(
            condition.to(self._device, self._dtype if condition.is_floating_point() else None)
            for condition in request.conditions
        )
        self._states[slot] = state
        self._score_leading(state)
        return slot

    def step(self, count: int) -> Sequence[Advance]:
        advances = []
        for state in self._states:
            if state is None or state.reported == state.sites:
                continue
            for _ in range(min(count, state.sites - state.site)):
                self._advance_one(state)
            advances.append(state.take_new())
        return advances

    def close(self, slot: int) -> None:
        if self._states[slot] is None:
            raise ValueError(f"slot {slot} is not open")
        self._states[slot] = None
        self._conditions[slot] = ()

    def params(self, slot: int) -> torch.Tensor:
        """Parameters at every site of an open slot given its values so far: [S, D, P] by rank.

        Those of the sites up to the current one are final; the rest condition on zeros.
        """
        state = self._states[slot]
        if state is None:
            raise ValueError(f"slot {slot} is not open")
        return self._params(state)

    def _params(self, state: SlotState) -> torch.Tensor:
        by_position = np.empty_like(state.values)
        order = np.arange(state.sites) if self._order is None else self._order
        by_position[order] = state.values
        codes = self._data.from_sites(torch.from_numpy(by_position)[None].to(self._device))
        if not self._likelihood.discrete:
            codes = codes.to(self._dtype)
        with torch.inference_mode():
            params: torch.Tensor = self._network(codes, *self._conditions[state.slot])[0]
        by_site = params.reshape(state.sites, *params.shape[-2:]).double().cpu()
        return by_site[torch.from_numpy(order)]

    def _score_leading(self, state: SlotState) -> None:
        """Score the leading run of fixed sites by one pass: it depends on nothing drawn."""
        undrawn = np.flatnonzero(~state.fixed.all(axis=1))
        lead = int(undrawn[0]) if undrawn.size else state.sites
        if lead:
            values = torch.from_numpy(state.values[:lead])
            scores = self._likelihood.log_prob(self._params(state)[:lead], values)
            state.log_prob[:lead] = scores.numpy()
            state.site = lead

    def _advance_one(self, state: SlotState) -> None:
        site, sampling = state.site, state.request.sampling
        noise = torch.from_numpy(state.uniforms(site).copy())
        values = torch.from_numpy(state.values)  # shares memory: an assignment is kept
        for dims in self._substeps():
            params = self._params(state)[site]  # [D, P]
            if not self._likelihood.joint:
                params = params[dims]
            if not state.fixed[site, dims].all():
                values[site, dims] = self._likelihood.sample(
                    params,
                    noise[dims],
                    temperature=sampling.temperature,
                    top_k=sampling.top_k,
                    top_p=sampling.top_p,
                )
            scores = self._likelihood.log_prob(params, values[site, dims])
            state.log_prob[site, dims] = scores.numpy()
        state.site += 1

    def _substeps(self) -> list[slice]:
        """The dimensions of a site drawn together: all under a joint likelihood, else one."""
        dims = self._data.dims_per_site
        if self._likelihood.joint:
            return [slice(0, dims)]
        return [slice(dim, dim + 1) for dim in range(dims)]
