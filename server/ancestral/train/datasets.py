"""Data to learn from: sets known by name, or a folder of the user's own files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ancestral.media import MediaError, MuLaw, decode
from ancestral.store.manifest import Data
from ancestral.train.recipe import Recipe

VARIABLE = "ANCESTRAL_DATA"  # the folder of the data sets that recipes name
HOLD_OUT = 10  # of the user's own files, every tenth is held out
_FILES = {".png", ".jpg", ".jpeg", ".wav", ".npy"}
Array = npt.NDArray[Any]


class DataError(ValueError):
    """Data that cannot be learnt from; the message names the file or folder."""


@dataclass(frozen=True)
class Split:
    """Items as codes (arrays of the canonical shape, small integers) and one label array each."""

    items: Sequence[Array] | Array
    labels: tuple[npt.NDArray[np.int64], ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def take(self, index: Sequence[int] | npt.NDArray[np.int64]) -> Split:
        """The items of those numbers."""
        chosen = [self.items[i] for i in index]
        return Split(chosen, tuple(values[np.asarray(index)] for values in self.labels))

    def batch(self, index: Sequence[int]) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Codes int64 [B, …] of items of one size, and their conditions."""
        codes = np.stack([self.items[i] for i in index]).astype(np.int64)
        labels = tuple(torch.from_numpy(values[np.asarray(index)]) for values in self.labels)
        return torch.from_numpy(codes), labels

    def runs(self, count: int, most: int) -> Iterator[tuple[int, int]]:
        """(first, size) of consecutive items of one shape among the first `count`."""
        first = 0
        while first < count:
            end = first + 1
            shape = self.items[first].shape
            while end < min(count, first + most) and self.items[end].shape == shape:
                end += 1
            yield first, end - first
            first = end


@dataclass(frozen=True)
class DataSet:
    """What is learnt from, what selects the weights, what figures and reference are of."""

    train: Split
    valid: Split
    test: Split
    description: str


def load(recipe: Recipe, folder: Path | None) -> DataSet:
    """The recipe's own data set, or the files of `folder`. Raises DataError."""
    if folder is not None:
        return from_folder(recipe, folder)
    root = os.environ.get(VARIABLE)
    if not root:
        raise DataError(
            f"{recipe.source.file}: set {VARIABLE} to the folder that holds it, or give your own "
            "files as --data DIR"
        )
    file = Path(root) / recipe.source.file
    if not file.is_file():
        raise DataError(f"{file}: there is no such file")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if digest != recipe.source.sha256:
        raise DataError(f"{file}: has SHA-256 {digest}, the recipe names {recipe.source.sha256}")
    if recipe.source.name not in NAMED:
        known = ", ".join(sorted(NAMED))
        raise DataError(f"unknown data set {recipe.source.name!r}; known: {known}")
    with np.load(file, allow_pickle=False) as arrays:
        return NAMED[recipe.source.name](recipe, dict(arrays))


def mnist(recipe: Recipe, arrays: dict[str, Array]) -> DataSet:
    """The digits, of 256 levels; the last 5,000 training images are for validation."""
    labelled = bool(recipe.conditions)

    def split(images: Array, digits: Array) -> Split:
        labels = (digits.astype(np.int64),) if labelled else ()
        return Split(images[:, None], labels)

    x, y = arrays["x_train"], arrays["y_train"]
    return DataSet(
        split(x[:-5000], y[:-5000]),
        split(x[-5000:], y[-5000:]),
        split(arrays["x_test"], arrays["y_test"]),
        "MNIST",
    )


def binarized_mnist(recipe: Recipe, arrays: dict[str, Array]) -> DataSet:
    """Larochelle's fixed binarisation, in its own splits."""

    def split(name: str) -> Split:
        bits = np.unpackbits(arrays[name], axis=1)[:, :784]
        return Split(bits.reshape(-1, 1, 28, 28))

    return DataSet(split("train"), split("valid"), split("test"), "binarised MNIST (Larochelle)")


def spoken_digits(recipe: Recipe, arrays: dict[str, Array]) -> DataSet:
    """Free Spoken Digit Dataset as mu-law codes; every thirtieth training clip validates.

    Its labels are the conditions that the recipe names: `digit` and `speaker`, these by name.
    """
    codec = recipe.data.media_codec
    assert isinstance(codec, MuLaw)
    codes = codec.encode(arrays["x"] / 32768.0).astype(np.uint8)
    offsets, is_test = arrays["offsets"], arrays["is_test"].astype(bool)
    _, speakers = np.unique(arrays["speaker"], return_inverse=True)
    known = {"digit": arrays["digit"].astype(np.int64), "speaker": speakers.astype(np.int64)}
    clips = [codes[a:b] for a, b in pairwise(offsets)]
    whole = Split(clips, tuple(known[condition.name] for condition in recipe.conditions))
    training, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    validation = training[::30]
    return DataSet(
        whole.take(np.setdiff1d(training, validation)),
        whole.take(validation),
        whole.take(test),
        "Free Spoken Digit Dataset",
    )


def circuit_boards(recipe: Recipe, arrays: dict[str, Array]) -> DataSet:
    """Defect-free patches of DeepPCB; every twentieth training patch validates."""

    def patches(name: str) -> Array:
        bits = np.unpackbits(arrays[name], axis=1)[:, :1024]
        return bits.reshape(-1, 1, 32, 32)

    normal = patches("train_normal")
    validates = np.arange(len(normal)) % 20 == 0
    return DataSet(
        Split(normal[~validates]),
        Split(normal[validates]),
        Split(patches("holdin_normal")),
        "DeepPCB, defect-free patches",
    )


NAMED: dict[str, Callable[[Recipe, dict[str, Array]], DataSet]] = {
    "mnist": mnist,
    "binarized-mnist": binarized_mnist,
    "spoken-digits": spoken_digits,
    "circuit-boards": circuit_boards,
}


def files_of(folder: Path) -> list[Path]:
    """The PNG, JPEG, WAV and NPY files under a folder, by name. Raises DataError."""
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder")
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in _FILES)


def from_folder(recipe: Recipe, folder: Path) -> DataSet:
    """PNG, JPEG, WAV or NPY files under `folder`, of the recipe's shape and levels.

    With a label condition the name of each file's folder is its class number. Every tenth file
    (by name) validates and every tenth tests; both serve as the reference.
    """
    files = files_of(folder)
    if len(files) < 3 * HOLD_OUT:
        raise DataError(
            f"{folder}: holds {len(files)} PNG, JPEG, WAV or NPY files; "
            f"{3 * HOLD_OUT} are the least"
        )
    items = read_items(files, recipe.data)
    labels = [_label(recipe, file) for file in files] if recipe.conditions else []
    whole = Split(items, (np.asarray(labels, dtype=np.int64),) if recipe.conditions else ())
    numbers = np.arange(len(files)) % HOLD_OUT
    return DataSet(
        whole.take(np.flatnonzero(numbers > 1)),
        whole.take(np.flatnonzero(numbers == 0)),
        whole.take(np.flatnonzero(numbers == 1)),
        f"{len(files)} files of the folder {folder.name}",
    )


def read_items(files: Sequence[Path], data: Data) -> list[Array]:
    """Every file as codes. Raises DataError naming the first that does not fit the data."""
    items: list[Array] = []
    for file in files:
        try:
            item, _ = decode(file.read_bytes(), None, data.spec, data.media_codec)
        except MediaError as error:
            raise DataError(f"{file}: {error}") from error
        items.append(np.asarray(item))
    return items


def _label(recipe: Recipe, file: Path) -> int:
    classes = recipe.conditions[0].classes
    name = file.parent.name
    if len(recipe.conditions) > 1 or classes is None:
        raise DataError(f"{file}: a folder of files can give one label, not other conditions")
    if not name.isdecimal() or int(name) >= classes:
        raise DataError(f"{file}: its folder should be named with a class, 0 to {classes - 1}")
    return int(name)
