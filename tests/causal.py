"""Small causal networks written in many styles, and what the tests of the compiler do with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from ancestral.likelihoods import Categorical
from ancestral.models import ConditionSpec, DataSpec, Network
from ancestral.runtimes.base import Runtime, SlotRequest


class Function(nn.Module):
    """A module from a function of the input (and conditions) and its layers."""

    def __init__(self, function, **layers: nn.Module) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, *inputs: Tensor) -> Tensor:
        result: Tensor = self.function(self, *inputs)
        return result


def network(
    module: nn.Module,
    shape: Sequence[int] = (),
    levels: int = 3,
    kind: str = "image",
    encoding: str = "signed",
    layout: str = "channels-first",
) -> Network:
    """A categorical network around a module, its weights drawn with a fixed seed."""
    data = DataSpec(kind, tuple(shape), levels)  # type: ignore[arg-type]
    return Network(module, data, encoding, layout, Categorical(levels)).eval()  # type: ignore[arg-type]


def drawn(
    runtime: Runtime, sites: int, items: Sequence[int], **options: Any
) -> dict[int, npt.NDArray[np.int64]]:
    """Values [S, C] of each item; `options` are those of `advanced`."""
    return {
        item: values for item, (values, _) in advanced(runtime, sites, items, **options).items()
    }


def advanced(
    runtime: Runtime,
    sites: int,
    items: Sequence[int],
    *,
    conditions: tuple[Tensor, ...] = (),
    chunk: int = 3,
    staggered: bool = False,
    prefix: npt.NDArray[np.int64] | None = None,
) -> dict[int, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    """Values and nats [S, C] of each item; staggered: one more item joins after each chunk."""
    waiting = [_request(item, sites, conditions, prefix) for item in items]
    running: dict[int, int] = {}
    values: dict[int, list[npt.NDArray[np.int64]]] = {item: [] for item in items}
    nats: dict[int, list[npt.NDArray[np.float64]]] = {item: [] for item in items}
    while waiting or running:
        for _ in range(1 if staggered else len(waiting)):
            if waiting and runtime.free:
                request = waiting.pop(0)
                running[runtime.open(request)] = request.item
        for advance in runtime.step(chunk):
            values[running[advance.slot]].append(advance.values)
            nats[running[advance.slot]].append(advance.log_prob)
            if advance.done:
                runtime.close(advance.slot)
                del running[advance.slot]
    return {item: (np.concatenate(values[item]), np.concatenate(nats[item])) for item in items}


def _request(
    item: int, sites: int, conditions: tuple[Tensor, ...], prefix: npt.NDArray[np.int64] | None
) -> SlotRequest:
    if prefix is None:
        return SlotRequest(seed=11, item=item, sites=sites, conditions=conditions)
    known = np.zeros((sites, prefix.shape[1]), dtype=np.int64)
    known[: len(prefix)] = prefix
    mask = np.zeros(known.shape, dtype=bool)
    mask[: len(prefix)] = True
    return SlotRequest(
        seed=11, item=item, sites=sites, conditions=conditions, known=known, known_mask=mask
    )


__all__ = ["Categorical", "ConditionSpec", "Function", "Network", "drawn", "network"]
