"""Weights as the compiled code reads them, one copy in a process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ancestral.runtimes.native.storage import Array, kept, zeros

LINE = 16  # elements that memory is given out in: a cache line at least


class Weights:
    """A program's weights, packed once for all running batches of a process."""

    def __init__(self, constants: Mapping[str, Tensor], dtype: np.dtype[Any]) -> None:
        self.constants, self.dtype = constants, dtype
        self._kept: dict[Any, Array] = {}
        # the weights, their padding to whole vectors, and biases; memory is taken as it is filled
        tensors = [t for t in constants.values() if isinstance(t, Tensor)]
        total = sum(t.numel() for t in tensors if t.is_floating_point())
        self._room: Array = zeros((2 * total + 2**16,), dtype)

    def array(self, name: str) -> Array:
        """A weight as numpy has it, of the runtime's type."""
        found: Array = self.constants[name].detach().cpu().numpy().astype(self.dtype)
        return found

    def once(self, key: Any, make: Any) -> Array:
        """Memory that `make` fills, the first time that `key` is asked for.

        In the order of asking, which is that of execution: weights are read as one stream.
        """
        if key not in self._kept:
            made = np.asarray(make())
            size = -(-made.size // LINE) * LINE
            if made.size <= self._room.size:
                place, self._room = self._room[: made.size], self._room[size:]
                self._kept[key] = place.reshape(made.shape)
                self._kept[key][...] = made
            else:
                self._kept[key] = kept(made, self.dtype)
        return self._kept[key]

    @property
    def tensors(self) -> list[Tensor]:
        """The packed weights, as torch sees their memory."""
        return [torch.from_numpy(array) for array in self._kept.values()]

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self._kept.values())
