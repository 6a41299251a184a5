"""What a model costs in memory, and how many slots follow from what it may take.

A slot's bytes come from the cache plan of the step program: rings of past rows or steps, keys and
values of attention, what follows from a condition. Weights are counted once, whatever reads them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from ancestral.engine.limits import Limits
from ancestral.engine.loaded import Loaded
from ancestral.runtimes.base import Runtime, SlotRequest
from ancestral.runtimes.derive import random_condition


class TooLarge(ValueError):
    """The memory that is allowed does not hold the weights and one sequence."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of a model in service.

    weights   the network's, and what the runtime has made of them, once for all slots
    slot      caches of one sequence of the default length
    slots     places in the running batch
    """

    weights: int
    slot: int
    slots: int

    @property
    def caches(self) -> int:
        """Bytes of all slots."""
        return self.slot * self.slots

    @property
    def total(self) -> int:
        return self.weights + self.caches


def footprint(model: Loaded, limits: Limits) -> Footprint:
    """Measure a model by a batch of one, and give it the slots that the limits allow.

    Raises TooLarge where they do not allow for one.
    """
    sites = model.default_sites
    probe = model.new_runtime(max(1, len(model.members)))
    rows = tuple(random_condition(spec, model.network, sites) for spec in model.conditions)
    for member in range(max(1, len(model.members))):
        probe.open(SlotRequest(seed=0, item=0, sites=sites, conditions=rows, member=member))
    probe.step(1)
    weights, slot = weight_bytes(model, probe), max(1, probe.slot_bytes(sites))
    allowed = min(limits.slot_bytes, limits.memory - weights)
    if weights + slot > limits.memory:
        raise TooLarge(
            f"{weights} bytes of weights and {slot} of caches for one sequence; "
            f"ANCESTRAL_MEMORY_BYTES allows {limits.memory}"
        )
    return Footprint(weights, slot, max(1, min(limits.slots, allowed // slot)))


def weight_bytes(model: Loaded, runtime: Runtime) -> int:
    """Bytes of a model's weights in this process, each counted once."""
    own = [*model.network.parameters(), *model.network.buffers()]
    return distinct_bytes([*own, *runtime.weights])


def distinct_bytes(values: Iterable[object]) -> int:
    """Bytes of the storages behind tensors; views of one storage count once, all else is small."""
    storages = [value.untyped_storage() for value in values if isinstance(value, Tensor)]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())
