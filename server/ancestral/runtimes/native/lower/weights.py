"""Weights as the compiled code reads them, one copy in a process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ancestral.runtimes.native.code.products import Packed, pack
from ancestral.runtimes.native.storage import ALIGNMENT, Array, kept, zeros


class Weights:
    """A program's weights, packed once for all running batches of a process."""

    def __init__(self, constants: Mapping[str, Tensor], dtype: np.dtype[Any]) -> None:
        self.constants, self.dtype = constants, dtype
        self._kept: dict[Any, Array] = {}
        self._packed: dict[Any, tuple[Packed, int]] = {}
        # the weights, their padding to whole vectors, and biases; memory is taken as it is filled
        tensors = [t for t in constants.values() if isinstance(t, Tensor)]
        total = sum(t.numel() for t in tensors if t.is_floating_point())
        self._room: Array = zeros((2 * total * dtype.itemsize + 2**18,), np.uint8)

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
            if made.dtype.kind == "f":
                made = made.astype(self.dtype, copy=False)
            size = -(-made.nbytes // ALIGNMENT) * ALIGNMENT
            if made.nbytes <= self._room.size:
                place, self._room = self._room[: made.nbytes], self._room[size:]
                self._kept[key] = place.view(made.dtype).reshape(made.shape)
                self._kept[key][...] = made
            else:
                self._kept[key] = kept(made, made.dtype)
        return self._kept[key]

    def product(self, key: Any, matrix: Any, bias: Any, sizes: Sequence[int]) -> tuple[Packed, int]:
        """A packed matrix and the address of what stands beside its panels, made once a key."""
        if key not in self._packed:
            packed = pack(matrix(), sizes)
            place = self.once((*key, "matrix"), lambda: packed.weights)
            record = self.once((*key, "bias"), lambda: packed.record(bias()))
            self._packed[key] = replace(packed, weights=place), int(record.ctypes.data)
        return self._packed[key]

    @property
    def tensors(self) -> list[Tensor]:
        """The packed weights, as torch sees their memory."""
        return [torch.from_numpy(array) for array in self._kept.values()]

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self._kept.values())
