"""The reference runtime: a step program in torch operators, on any device.

It computes in float64 by default. Products of different batch sizes round differently in BLAS;
in double precision the difference (1e-16) does not reach a value, so that what a seed gives does
not depend on the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ancestral.compile import Program
from ancestral.models.network import Network
from ancestral.runtimes.base import Advance, Sampling, SlotRequest
from ancestral.runtimes.running import Batch, new_batch
from ancestral.runtimes.slot import SlotState
from ancestral.runtimes.threads import one_thread


class ReferenceRuntime:
    """Samples a network through its step program; see `runtimes.base.Runtime`."""

    name = "reference"
    derived = True

    def __init__(
        self,
        program: Program,
        network: Network,
        slots: int,
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        if slots < 1:
            raise ValueError(f"slots must be at least 1, not {slots}")
        self.program = program
        self._data = network.data
        self._likelihood = network.likelihood
        self._device = torch.device(device)
        self._dtype = dtype
        self._network = network
        self._batch = self._new_batch(slots)
        self._states: list[SlotState | None] = [None] * slots
        self._conditions: list[tuple[Tensor, ...]] = [()] * slots
        self._running: list[SlotState] = []  # in the batch's order
        self._waiting: list[SlotState] = []

    @property
    def slots(self) -> int:
        return len(self._states)

    @property
    def free(self) -> int:
        return sum(state is None for state in self._states)

    @property
    def batch(self) -> Batch:
        """The running batch: what steps the program."""
        return self._batch

    @property
    def phase_sites(self) -> int:
        return self.program.phase_sites

    @property
    def weights(self) -> list[Tensor]:
        return self._batch.weights

    def slot_bytes(self, sites: int) -> int:
        own = SlotState.bytes_per_value * sites * self._data.dims_per_site
        return own + self._batch.slot_bytes(sites)

    def _new_batch(self, slots: int) -> Batch:
        return new_batch(self.program, self._network, slots, self._dtype, self._device)

    # ------------------------------------------------------------------ slots

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
        self._states[slot] = state
        self._conditions[slot] = tuple(
            c.to(self._device, self._dtype if c.is_floating_point() else None)
            for c in request.conditions
        )
        self._waiting.append(state)
        return slot

    def close(self, slot: int) -> None:
        state = self._states[slot]
        if state is None:
            raise ValueError(f"slot {slot} is not open")
        if state in self._waiting:
            self._waiting.remove(state)
        elif state in self._running:
            self._leave([state])
        self._states[slot] = None
        self._conditions[slot] = ()

    def _score_prefix(self, state: SlotState, params: Tensor) -> None:
        """A given prefix is scored from the pass that filled its caches; it is not stepped."""
        count = state.prefix
        params = params.reshape(-1, *params.shape[-2:])[self._positions(count)]
        values = torch.from_numpy(state.values[:count])
        state.log_prob[:count] = self._likelihood.log_prob(params.double().cpu(), values).numpy()
        state.site = count

    def _positions(self, count: int) -> Tensor:
        order = self.program.order
        return torch.from_numpy((np.arange(count) if order is None else order[:count]).copy())

    def _codes(self, state: SlotState) -> Tensor:
        """The slot's values so far as an item of batch one."""
        by_position = np.empty_like(state.values)
        by_position[self._positions(state.sites).numpy()] = state.values
        codes = self._data.from_sites(torch.from_numpy(by_position)[None]).to(self._device)
        return codes if self._likelihood.discrete else codes.to(self._dtype)

    # ------------------------------------------------------------------ stepping

    def step(self, count: int) -> Sequence[Advance]:
        left = count
        with one_thread():
            while left > 0:
                self._admit()
                if not self._running:
                    break
                left -= self._run(min(left, *(s.sites - s.site for s in self._running)))
                self._leave([s for s in self._running if s.done])
        advances = []
        for state in self._states:
            if state is not None and state.site > state.reported:
                advances.append(state.take_new())
        return advances

    def _admit(self) -> None:
        """Let waiting slots join where the program's phase allows."""
        joined = False
        for state in list(self._waiting):
            conditions = self._conditions[state.slot]
            if state.prefix == state.sites:
                inputs = [self._codes(state), *conditions]
                graph = self._batch.graph
                self._score_prefix(state, graph.run(inputs)[graph.output])
            elif self._batch.aligned(state.prefix):
                values = self._codes(state) if state.prefix else None
                params = self._batch.open(conditions, values, state.prefix, state.sites)
                if params is not None:
                    self._score_prefix(state, params)
                self._running.append(state)
                joined = True
            else:
                continue
            self._waiting.remove(state)
        if joined:
            self._batch.settle()

    def _leave(self, states: list[SlotState]) -> None:
        for state in states:
            at = self._running.index(state)
            self._batch.close(at)
            last = self._running.pop()
            if at < len(self._running):
                self._running[at] = last
        if states:
            self._batch.settle()

    def _run(self, sites: int) -> int:
        """Advance the running slots together until somebody may join, `sites` at most."""
        if self._waiting and self._batch.n:
            sites = min(sites, self._until_join())
        states = self._running
        noise, fixed, values = self._gather(states, sites)
        anything_fixed = bool(fixed.any())
        groups = _by_sampling(states)
        chunk: list[list[Tensor]] = []
        for k in range(sites):
            used: list[Tensor] = []
            drawn: list[Tensor] = []

            def draw(sub: int, params: Tensor, k: int = k, used: list[Tensor] = used,
                     drawn: list[Tensor] = drawn) -> Tensor:  # fmt: skip
                dims = (
                    slice(None)
                    if params.shape[1] == 1 or self.program.subs == 1
                    else slice(sub, sub + 1)
                )
                if self.program.subs > 1 and params.shape[1] > 1:
                    params = params[:, dims]
                own = self._draw(params, noise[k][:, dims], groups)
                if anything_fixed:
                    own = torch.where(fixed[k][:, dims], values[k][:, dims], own)
                used.append(params)
                drawn.append(own)
                return own

            self._batch.step(draw)
            chunk.append([torch.cat(used, 1), torch.cat(drawn, 1)])
        params = torch.stack([c[0] for c in chunk], 1)
        codes = torch.stack([c[1] for c in chunk], 1)
        scores = self._likelihood.log_prob(params.double(), codes).cpu().numpy()
        new = codes.cpu().numpy()
        for i, state in enumerate(states):
            state.values[state.site : state.site + sites] = new[i]
            state.log_prob[state.site : state.site + sites] = scores[i]
            state.site += sites
        return sites

    def _until_join(self) -> int:
        phase = self.phase_sites
        at = self._running[0].site % phase
        waits = [(s.prefix - at) % phase or phase for s in self._waiting]
        return min(waits)

    def _gather(self, states: list[SlotState], sites: int) -> tuple[Tensor, Tensor, Tensor]:
        """Noise [sites, n, C, 2], fixed [sites, n, C] and the values that are fixed."""
        noise = np.stack([[s.uniforms(s.site + k) for s in states] for k in range(sites)])
        fixed = np.stack([s.fixed[s.site : s.site + sites] for s in states], 1)
        values = np.stack([s.values[s.site : s.site + sites] for s in states], 1)
        return (
            torch.from_numpy(noise).to(self._device),
            torch.from_numpy(fixed).to(self._device),
            torch.from_numpy(values).to(self._device),
        )

    def _draw(
        self, params: Tensor, u: Tensor, groups: list[tuple[Sampling, Tensor | None]]
    ) -> Tensor:
        if len(groups) == 1:
            return self._sampled(params, u, groups[0][0])
        parts = [(rows, self._sampled(params[rows], u[rows], s)) for s, rows in groups]
        whole = parts[0][1].new_zeros((params.shape[0], *parts[0][1].shape[1:]))
        for rows, part in parts:
            whole[rows] = part
        return whole

    def _sampled(self, params: Tensor, u: Tensor, sampling: Sampling) -> Tensor:
        return self._likelihood.sample(
            params, u, temperature=sampling.temperature, top_k=sampling.top_k, top_p=sampling.top_p
        )


def _by_sampling(states: list[SlotState]) -> list[tuple[Sampling, Tensor | None]]:
    """The slots grouped by how they draw; no rows where all agree."""
    groups: dict[Sampling, list[int]] = {}
    for i, state in enumerate(states):
        groups.setdefault(state.request.sampling, []).append(i)
    if len(groups) == 1:
        return [(next(iter(groups)), None)]
    return [(sampling, torch.tensor(rows)) for sampling, rows in groups.items()]
