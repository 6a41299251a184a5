"""The binary files of libwavernn: layers one after the other as packed C structures.

A file begins with four integers: residual blocks, stretches, their product and the frames of
padding. Each layer is its type, a text of 64 bytes and its sizes and numbers. Matrices are sparse:
only groups of columns that hold a weight are stored, with a byte for the place of each group and
255 behind the last of a row.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ancestral.store.errors import PackageError

_FIRST_LAYER = slice(20, 27)  # bytes of a file: how the text of the first layer begins
_ROW_END = 255
_LARGEST = 1 << 16  # of a layer's sizes
_KINDS = {1: "convolution", 2: "kernel", 3: "norm", 4: "linear", 5: "gru", 6: "stretch"}
Layer = dict[str, Tensor]


def is_libwavernn(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(_FIRST_LAYER.stop)[_FIRST_LAYER] == b"Conv1d("


def read_file(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by the names of the network's modules, and {"scales": …, "pad": …}.

    Batch norms are folded into the convolutions before them. Raises PackageError.
    """
    reader = _Reader(file)
    blocks, stretches, hop, pad = reader.integers(4)
    state: dict[str, Tensor] = {}
    scales: list[int] = []

    def put(name: str, layer: Layer) -> None:
        state.update({f"{name}.{part}": tensor for part, tensor in layer.items()})

    put("resnet.conv_in", _normed(reader.layer("convolution"), reader.layer("norm")))
    for block in range(blocks):
        for conv in ("conv1", "conv2"):
            layer = _normed(reader.layer("convolution"), reader.layer("norm"))
            put(f"resnet.layers.{block}.{conv}", layer)
    put("resnet.conv_out", reader.layer("convolution"))
    reader.layer("stretch")  # of the features, by the product of all
    for number in range(stretches):
        scales.append(int(reader.layer("stretch")["scale"]))
        put(f"upsample.{number}", reader.layer("kernel"))
    put("I", reader.layer("linear"))
    put("rnn1", reader.layer("gru"))
    put("fc1", reader.layer("linear"))
    put("fc2", reader.layer("linear"))
    reader.finish()
    if int(np.prod(scales)) != hop:
        raise PackageError(file, f"scales {scales} do not stretch by {hop}")
    # It leaves out the last of the features that the input reads, to keep the width even.
    state["I.weight"] = F.pad(state["I.weight"], (0, 1))
    return state, {"scales": scales, "pad": pad}


def _normed(layer: Layer, norm: Layer) -> Layer:
    """Convolution and batch norm (in evaluation) as one convolution with a bias."""
    gain = norm["weight"] / torch.sqrt(norm["variance"] + norm["eps"])
    bias = norm["bias"] - norm["mean"] * gain + layer.get("bias", torch.zeros(())) * gain
    return {"weight": layer["weight"] * gain[:, None, None], "bias": bias}


class _Reader:
    """A file's numbers in order; PackageError where they end early or make no sense."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.content = file.read_bytes()
        self.at = 0

    def layer(self, kind: str) -> Layer:
        (found,) = self.integers(1)
        self.take(64)
        if _KINDS.get(found) != kind:
            raise PackageError(self.file, f"layer of type {found} where a {kind} is expected")
        tensors: Layer = getattr(self, f"_{kind}")()
        return tensors

    def finish(self) -> None:
        if self.at != len(self.content):
            raise PackageError(self.file, f"has {len(self.content) - self.at} bytes too many")

    def take(self, count: int) -> bytes:
        part = self.content[self.at : self.at + count]
        if len(part) != count:
            raise PackageError(self.file, "ends within a layer")
        self.at += count
        return part

    def integers(self, count: int) -> tuple[int, ...]:
        found = struct.unpack(f"<{count}i", self.take(4 * count))
        if not all(0 <= number <= 1 << 28 for number in found):
            raise PackageError(self.file, f"holds sizes {list(found)}")
        return found

    def sizes(self, count: int) -> tuple[int, ...]:
        """Sizes of a layer, behind the bytes of a number: 4, for float32."""
        bytes_each, *found = self.integers(1 + count)
        if bytes_each != 4 or not all(0 < size <= _LARGEST for size in found):
            raise PackageError(self.file, f"layer of sizes {found}, {bytes_each} bytes a number")
        return tuple(found)

    def floats(self, *shape: int) -> Tensor:
        count = int(np.prod(shape, dtype=np.int64))
        values = np.frombuffer(self.take(4 * count), dtype="<f4").astype(np.float32)
        if not np.isfinite(values).all():
            raise PackageError(self.file, "holds NaN or infinite values")
        return torch.from_numpy(values.reshape(shape))

    # ------------------------------------------------------------------ layers

    def _convolution(self) -> Layer:
        (bytes_each, has_bias, channels, out, size) = self.integers(5)
        if bytes_each != 4 or max(channels, out, size) > _LARGEST:
            raise PackageError(self.file, f"convolution of sizes {[channels, out, size]}")
        found = {"weight": self.floats(out, channels, size)}
        return found | {"bias": self.floats(out)} if has_bias else found

    def _kernel(self) -> Layer:
        (size,) = self.sizes(1)
        return {"weight": self.floats(size)}

    def _norm(self) -> Layer:
        (size,) = self.sizes(1)
        names = ("weight", "bias", "mean", "variance")
        return {"eps": self.floats(1), **{name: self.floats(size) for name in names}}

    def _linear(self) -> Layer:
        rows, columns = self.sizes(2)
        return {"weight": self._matrix(rows, columns), "bias": self.floats(rows)}

    def _gru(self) -> Layer:
        width, columns = self.sizes(2)
        own = torch.cat([self._matrix(width, columns) for _ in range(3)])
        past = torch.cat([self._matrix(width, width) for _ in range(3)])
        biases = self.floats(2, 3 * width)
        return {
            "weight_ih_l0": own, "weight_hh_l0": past,
            "bias_ih_l0": biases[0].clone(), "bias_hh_l0": biases[1].clone(),
        }  # fmt: skip

    def _stretch(self) -> Layer:
        along, across = self.integers(2)
        if not 0 < along <= _LARGEST or across != 1:
            raise PackageError(self.file, f"a stretch by {along} and {across}")
        return {"scale": torch.tensor(along)}

    def _matrix(self, rows: int, columns: int) -> Tensor:
        (count,) = self.integers(1)
        weights = self.floats(count).numpy()
        (places,) = self.integers(1)
        index = np.frombuffer(self.take(places), dtype=np.uint8)
        return torch.from_numpy(self._dense(weights, index, rows, columns))

    def _dense(
        self,
        weights: npt.NDArray[np.float32],
        index: npt.NDArray[np.uint8],
        rows: int,
        columns: int,
    ) -> npt.NDArray[np.float32]:
        """The matrix [rows, columns]; one row end stands behind the last row's own."""
        ends = index == _ROW_END
        groups = int((~ends).sum())
        size = len(weights) // max(groups, 1)
        row = np.cumsum(ends)[~ends]
        first = index[~ends].astype(np.int64) * size
        whole = groups * size == len(weights) and int(ends.sum()) == rows + 1
        if not whole or (groups and (row.max() >= rows or first.max() + size > columns)):
            raise PackageError(self.file, f"a sparse matrix that is not {rows} by {columns}")
        dense = np.zeros((rows, columns), dtype=np.float32)
        place = first[:, None] + np.arange(size)
        dense[row[:, None], place] = weights.reshape(groups, size)
        return dense
