"""Items on their way to the server: arrays, pictures, sounds, files and text as file parts."""

from __future__ import annotations

import io
import os
import wave
from base64 import b64encode
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable

import numpy as np
import numpy.typing as npt

from ancestral_client.answers import Model

NPY, PNG, WAV, TEXT, ANY = (
    "application/x-npy",
    "image/png",
    "audio/wav",
    "text/plain",
    "application/octet-stream",
)
_FILES = (".npy", ".wav")  # what text that names a file ends in
_RANK = {"label": 0, "series": 2, "plane": 3}  # dimensions of a condition's value


@runtime_checkable
class Picture(Protocol):
    """What PIL's images can do."""

    mode: str

    def save(self, fp: Any, format: str) -> None: ...


@runtime_checkable
class _Array(Protocol):
    def __array__(self) -> npt.NDArray[Any]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """Amplitudes [T] in [-1, 1] at `rate` Hz: sent as a 16-bit WAV file."""

    samples: npt.ArrayLike
    rate: int

    def wav(self) -> bytes:
        scaled = np.rint(np.asarray(self.samples, dtype=np.float64) * 32768.0)
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(self.rate)
            file.writeframes(np.clip(scaled, -32768, 32767).astype("<i2").tobytes())
        return buffer.getvalue()


Item: TypeAlias = "npt.ArrayLike | Picture | Sound | str | os.PathLike[str] | bytes"
Items: TypeAlias = "Item | Iterable[Item] | AsyncIterable[Item]"


@dataclass(frozen=True, slots=True)
class Part:
    """An item as a file."""

    content: bytes
    content_type: str = ANY


def part(item: Any, model: Model) -> Part:
    """One item: codes or real values as numbers, a PIL image, a Sound, a file's path or bytes.

    A `str` is the text itself where the model is one of text, else the path of a file. Raises
    TypeError for anything that is none of these.
    """
    match item:
        case Part():
            return item
        case str() if model.text:
            return Part(item.encode(), TEXT)
        case str() | os.PathLike():
            path = Path(item)
            return Part(path.read_bytes(), TEXT if path.suffix.lower() == ".txt" else ANY)
        case bytes():
            return Part(item)
        case Sound():
            return Part(item.wav(), WAV)
        case Picture():
            return Part(_written(lambda file: item.save(file, format="PNG")), PNG)
    array = np.asarray(item)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{type(item).__name__} is no item: an array of {array.dtype}")
    return Part(_written(lambda file: np.save(file, array, allow_pickle=False)), NPY)


def several(inputs: Any, model: Model) -> Iterable[Any] | AsyncIterable[Any]:
    """The items of `inputs`, which may also be one item.

    An array that has the model's shape is one; any other array holds items along its first axis.
    A list of plain numbers is one item, any other list or iterator a sequence of items.
    """
    if isinstance(inputs, AsyncIterable):
        return inputs
    if isinstance(inputs, str | bytes | os.PathLike | Sound | Picture | Part):
        return [inputs]
    if isinstance(inputs, _Array):
        array = np.asarray(inputs)
        return [array] if _is_one(array.shape, model) else cast("Iterable[Any]", array)
    if isinstance(inputs, Sequence) and inputs and isinstance(inputs[0], int | float):
        return [inputs]
    if not isinstance(inputs, Iterable):
        raise TypeError(f"{type(inputs).__name__} holds no items")
    return inputs


def _is_one(shape: tuple[int, ...], model: Model) -> bool:
    if model.kind != "image":
        return len(shape) <= 1
    grey = model.shape[0] == 1
    return shape == model.shape or (grey and shape == model.shape[1:])


def _written(write: Any) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def condition_json(condition: Mapping[str, Any]) -> dict[str, Any]:
    """A condition as JSON: arrays as lists, paths and bytes as files in base64.

    Text that ends in .npy or .wav is the path of a file; other text names a class.
    """
    return {name: _json(value) for name, value in condition.items()}


def _json(value: Any) -> Any:
    match value:
        case str() if not value.lower().endswith(_FILES):
            return value
        case str() | os.PathLike():
            return {"data": b64encode(Path(value).read_bytes()).decode()}
        case bytes():
            return {"data": b64encode(value).decode()}
        case Mapping():
            return dict(value)
        case list() | tuple():
            return [_json(each) for each in value]
        case _Array():
            return np.asarray(value).tolist()
    return value


@dataclass(frozen=True, slots=True)
class Conditions:
    """The condition of many items: what holds for all of them, and lists with one for each."""

    common: Mapping[str, Any]
    each: Mapping[str, Sequence[Any]]

    @classmethod
    def of(cls, condition: Mapping[str, Any], model: Model) -> Conditions:
        values = condition_json(condition)
        ranks = {entry["name"]: _RANK[entry["kind"]] for entry in model.conditions}
        each = {name for name, value in values.items() if _is_list(value, ranks.get(name, 0))}
        return cls(
            {name: value for name, value in values.items() if name not in each},
            {name: values[name] for name in each},
        )

    def of_items(self, first: int, count: int) -> dict[str, Any]:
        """Of `count` items from `first` on. Raises ValueError where a list is too short."""
        found = dict(self.common)
        for name, values in self.each.items():
            found[name] = list(values[first : first + count])
            if len(found[name]) < count:
                message = f"condition {name} has {len(values)} values; there are more items"
                raise ValueError(message)
        return found

    def check(self, items: int) -> None:
        """Raise ValueError where a list has more values than there were items."""
        for name, values in self.each.items():
            if len(values) != items:
                raise ValueError(f"condition {name} has {len(values)} values for {items} items")


def _is_list(value: Any, rank: int) -> bool:
    if not isinstance(value, list) or not value:
        return False
    if isinstance(value[0], Mapping):
        return True
    depth = 0
    while isinstance(value, list) and value:
        depth, value = depth + 1, value[0]
    return depth > rank


def known_json(known: Any) -> Any:
    """Nested lists with None where to sample; NaN in an array stands for None."""
    if isinstance(known, _Array):
        array = np.asarray(known)
        if array.dtype.kind == "f":
            whole = np.where(np.isnan(array), 0, array)
            numbers = whole.astype(np.int64) if np.all(whole == np.rint(whole)) else whole
            array = np.where(np.isnan(array), None, numbers.astype(object))  # type: ignore[call-overload]
        return array.tolist()
    return known
