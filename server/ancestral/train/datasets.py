"""Data to learn from: sets known by name, or a folder of the user's own files."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ancestral.media import MediaError, Palette, declared, decode, files_under
from ancestral.media.decode import read_sound
from ancestral.store.condition import Condition
from ancestral.store.manifest import Data
from ancestral.train.palette import Colour, k_means, pixels_of
from ancestral.train.recipe import Recipe
from ancestral.train.splits import Array, DataError, Series, Split

__all__ = ["NAMED", "Array", "DataError", "DataSet", "Series", "Split", "load", "named"]

VARIABLE = "ANCESTRAL_DATA"  # the folder of the data sets that recipes name
HOLD_OUT = 10  # of the user's own files, every tenth is held out


@dataclass(frozen=True)
class DataSet:
    """What is learnt from, what selects the weights, what figures and reference are of."""

    train: Split
    valid: Split
    test: Split
    description: str
    palette: tuple[Colour, ...] | None = None  # found in the training images

    def on_palette(self, levels: int, seed: int) -> DataSet:
        """RGB images [3, H, W] as codes [1, H, W] of so many colours, clusters of `train`'s."""
        try:
            palette = k_means(pixels_of(list(self.train.items)), levels, seed)
        except ValueError as error:
            raise DataError(str(error)) from error
        codec = Palette(palette)

        def encoded(split: Split) -> Split:
            items = [codec.encode(np.asarray(image), fit=True)[0] for image in split.items]
            return Split(np.stack(items).astype(np.int16), split.conditions)

        return DataSet(
            encoded(self.train), encoded(self.valid), encoded(self.test), self.description, palette
        )


Set = Callable[[Recipe, dict[str, Array]], DataSet]
NAMED: dict[str, Set] = {}  # filled by the modules of `ancestral.train.sets`


def named(name: str) -> Callable[[Set], Set]:
    """Register a function from a recipe and its file's arrays as the data set of that name."""

    def register(function: Set) -> Set:
        NAMED[name] = function
        return function

    return register


def load(recipe: Recipe, folder: Path | None) -> DataSet:
    """The recipe's own data set, or the files of `folder`. Raises DataError."""
    found = _own(recipe) if folder is None else from_folder(recipe, folder)
    if recipe.palette is None:
        return found
    assert recipe.data.levels is not None
    return found.on_palette(recipe.data.levels, recipe.seed)


def _own(recipe: Recipe) -> DataSet:
    file = _file_of(recipe)
    if not file.is_file():
        raise DataError(f"{file}: there is no such file")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if digest != recipe.source.sha256:
        raise DataError(f"{file}: has SHA-256 {digest}, the recipe names {recipe.source.sha256}")
    if recipe.source.name not in NAMED:
        known = ", ".join(sorted(NAMED))
        raise DataError(f"unknown data set {recipe.source.name!r}; known: {known}")
    return NAMED[recipe.source.name](recipe, _arrays(file))


def _file_of(recipe: Recipe) -> Path:
    source = recipe.source
    if source.package is not None:
        found = importlib.util.find_spec(source.package)
        if found is None or found.origin is None:
            raise DataError(f"{source.file}: comes with the package {source.package}; install it")
        return Path(found.origin).parent / source.file
    root = os.environ.get(VARIABLE)
    if not root:
        raise DataError(
            f"{source.file}: set {VARIABLE} to the folder that holds it, or give your own "
            "files as --data DIR"
        )
    return Path(root) / source.file


def _arrays(file: Path) -> dict[str, Array]:
    """An NPZ file's arrays; a CSV file's `table`, without its first line; a TXT file's `text`."""
    if file.suffix == ".txt":
        return {"text": np.array(list(file.read_text(encoding="utf-8")))}
    if file.suffix == ".csv":
        return {"table": np.loadtxt(file, delimiter=",", skiprows=1)}
    with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def files_of(folder: Path) -> list[Path]:
    """The PNG, JPEG, WAV, MID, TXT and NPY files under a folder, by name. Raises DataError."""
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder")
    return files_under(folder)


def from_folder(recipe: Recipe, folder: Path) -> DataSet:
    """PNG, JPEG, WAV, MID, TXT or NPY files under `folder`, of the recipe's shape and levels.

    With a label condition the name of each file's folder is its class number; a series is measured
    of each file, which is then cut to whole values of it. Every tenth file (by name) validates and
    every tenth tests; both serve as the reference.
    """
    files = files_of(folder)
    if len(files) < 3 * HOLD_OUT:
        raise DataError(
            f"{folder}: holds {len(files)} PNG, JPEG, WAV, MID, TXT or NPY files; "
            f"{3 * HOLD_OUT} are the least"
        )
    items = read_items(files, recipe.source_data)
    whole = Split(items, _conditions(recipe, files))
    if whole.hop > 1:
        shortest = min(range(len(items)), key=lambda index: len(items[index]))
        if len(items[shortest]) < whole.hop:
            raise DataError(f"{files[shortest]}: has {len(items[shortest])} sites, not {whole.hop}")
        items = [item[: len(item) // whole.hop * whole.hop] for item in items]
        whole = replace(whole, items=items)
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
            item, _ = decode(file.read_bytes(), declared(file), data.spec, data.media_codec)
        except MediaError as error:
            told = str(error).partition('; "fit"')[0]  # nothing is fitted that is learnt from
            raise DataError(f"{file}: {told}") from error
        items.append(np.asarray(item))
    return items


def _conditions(recipe: Recipe, files: Sequence[Path]) -> tuple[Array | Series, ...]:
    """The class that each file's folder is named with, and the frames of its sound."""
    if sum(condition.kind == "label" for condition in recipe.conditions) > 1:
        raise DataError(f"{files[0]}: a folder of files can give one label, not several")
    return tuple(
        np.array([_label(condition, file) for file in files], dtype=np.int64)
        if condition.kind == "label"
        else measured(condition, files, recipe.data)
        for condition in recipe.conditions
    )


def _label(condition: Condition, file: Path) -> int:
    name, classes = file.parent.name, condition.classes or 0
    if condition.names and name in condition.names:
        return condition.names.index(name)
    if not name.isdecimal() or int(name) >= classes:
        names = f"{', '.join(condition.names)}, or " if condition.names else ""
        raise DataError(
            f"{file}: its folder should be named with a class, {names}0 to {classes - 1}"
        )
    return int(name)


def measured(condition: Condition, files: Sequence[Path], data: Data) -> Series:
    """The frames of WAV files, as the condition says. Raises DataError for what has none."""
    measure = condition.measure(data.sample_rate or 0)
    if measure is None:
        raise DataError(f"{files[0]}: a file cannot give the condition {condition.name}")
    try:
        sounds = [read_sound(file.read_bytes(), data.sample_rate)[0] for file in files]
    except MediaError as error:
        raise DataError(f"{condition.name} is measured of WAV files: {error}") from error
    return Series([measure(sound) for sound in sounds], condition.hop)
