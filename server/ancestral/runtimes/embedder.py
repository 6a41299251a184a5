"""Representations: the hidden state of a layer, averaged over positions (Chen et al. 2020, 2.4)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ancestral.models.network import Network

MAX_BATCH = 64  # items of a pass


class LayerError(ValueError):
    """A layer that the network does not have, or a network without layers to ask for."""

    field = "layer"


class _Reached(Exception):
    def __init__(self, hidden: Tensor) -> None:
        self.hidden = hidden


def chosen_layer(network: Network, layer: int | None) -> int:
    """The layer asked for, from 1 to the network's last; the middle one where none is."""
    count = len(network.layers)
    if count == 0:
        raise LayerError("the model's family has no layers whose states represent an item")
    if layer is None:
        return (count + 1) // 2
    if not 1 <= layer <= count:
        raise LayerError(f"layer {layer} of a network whose layers are 1 to {count}")
    return layer


def embed(network: Network, codes: Tensor, conditions: Sequence[Tensor], layer: int) -> Tensor:
    """Hidden states after `layer` layers, averaged over positions: [B, width] float32.

    codes: [B, *shape]; conditions: each with B rows, or one row for all. What lies behind the
    layer is not computed.
    """
    module = network.layers[layer - 1]
    parts = []
    for first in range(0, len(codes), MAX_BATCH):
        rows = slice(first, first + MAX_BATCH)
        some = [c.expand(len(codes), *c.shape[1:])[rows] for c in conditions]
        parts.append(_hidden(network, module, codes[rows], some).double().mean(1).float())
    return torch.cat(parts)


def _hidden(
    network: Network, module: nn.Module, codes: Tensor, conditions: Sequence[Tensor]
) -> Tensor:
    own = threading.get_ident()  # others may run the same network meanwhile

    def leave(_: nn.Module, __: Any, output: Tensor) -> None:
        if threading.get_ident() == own:
            raise _Reached(output)

    handle = module.register_forward_hook(leave)
    try:
        with torch.inference_mode():
            network(codes, *conditions)
    except _Reached as reached:
        return reached.hidden
    finally:
        handle.remove()
    raise LayerError("the forward pass does not reach that layer")
