"""Score or embed files, many in a pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ancestral.engine.conditions import per_item
from ancestral.engine.model import Model
from ancestral.engine.scoring import Score
from ancestral.media import Item, MediaError, declared, decode

BATCH = 32  # files read ahead and scored together


@dataclass(frozen=True, slots=True)
class FileScore:
    """A file's score, or the `error` for which it has none."""

    file: Path
    item: Item | None = None
    score: Score | None = None
    fit: list[str] = field(default_factory=list)  # what was done to the item
    error: str = ""


def score_files(
    model: Model,
    files: Sequence[Path],
    condition: Mapping[str, Any] | None = None,
    *,
    marginal: bool = False,
    fit: bool = False,
) -> Iterator[FileScore]:
    """The files' scores in their order; one that cannot be read fails alone.

    A condition's labels may be listed, one for each file. Raises ConditionError.
    """
    for first, read, good in _batches(model, files, fit):
        items = [read[index].item for index in good]
        given = per_item(model.conditions, condition, [first + i for i in good], len(files))
        scores = model.log_prob(items, given, marginal) if items else []
        scored: Mapping[int, Any] = dict(zip(good, scores, strict=True))
        for index, found in enumerate(read):
            yield FileScore(found.file, found.item, scored.get(index), found.fit, found.error)


@dataclass(frozen=True, slots=True)
class FileVector:
    """A file's representation [width], float32, or the `error` for which it has none."""

    file: Path
    vector: npt.NDArray[np.float32] | None = None
    error: str = ""


def embed_files(
    model: Model,
    files: Sequence[Path],
    condition: Mapping[str, Any] | None = None,
    *,
    layer: int | None = None,
    fit: bool = False,
) -> Iterator[FileVector]:
    """The files' representations in their order; one that cannot be read fails alone.

    The condition as in `score_files`. Raises LayerError, before any file is read, and
    ConditionError.
    """
    chosen = model.layer(layer)
    for first, read, good in _batches(model, files, fit):
        given = per_item(model.conditions, condition, [first + i for i in good], len(files))
        items = [read[index].item for index in good]
        vectors: Any = model.embed(items, given, layer=chosen) if items else ()
        embedded: Mapping[int, Any] = dict(zip(good, vectors, strict=True))
        for index, found in enumerate(read):
            yield FileVector(found.file, embedded.get(index), found.error)


def _batches(
    model: Model, files: Sequence[Path], fit: bool
) -> Iterator[tuple[int, list[FileScore], list[int]]]:
    """Files read together: the first's index, what was read, which of them could be."""
    for first in range(0, len(files), BATCH):
        read = [_read(model, file, fit) for file in files[first : first + BATCH]]
        yield first, read, [index for index, found in enumerate(read) if found.item is not None]


def _read(model: Model, file: Path, fit: bool) -> FileScore:
    try:
        codec = model.manifest.data.media_codec
        item, steps = decode(file.read_bytes(), declared(file), model.data, codec, fit=fit)
    except MediaError as error:
        return FileScore(file, error=str(error))
    except OSError as error:
        return FileScore(file, error=error.strerror or str(error))
    return FileScore(file, item, fit=steps)
