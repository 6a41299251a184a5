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
    for first in range(0, len(files), BATCH):
        read = [_read(model, file, fit) for file in files[first : first + BATCH]]
        good = [index for index, found in enumerate(read) if found.item is not None]
        items = [read[index].item for index in good]
        rows = [first + index for index in good]
        given = per_item(model.conditions, condition, rows, len(files))
        scores = model.log_prob(items, given, marginal) if items else []
        scored: Mapping[int, Any] = dict(zip(good, scores, strict=True))
        for index, found in enumerate(read):
            yield FileScore(found.file, found.item, scored.get(index), found.fit, found.error)


def embed_files(
    model: Model,
    files: Sequence[Path],
    condition: Mapping[str, Any] | None = None,
    *,
    layer: int | None = None,
    fit: bool = False,
) -> Iterator[npt.NDArray[np.float32]]:
    """The files' representations in their order, [files, width] of as many as a pass takes.

    The condition as in `score_files`. Raises MediaError that names a file which cannot be read,
    LayerError and ConditionError.
    """
    for first in range(0, len(files), BATCH):
        read = [_read(model, file, fit) for file in files[first : first + BATCH]]
        for found in read:
            if found.error:
                raise MediaError(f"{found.file}: {found.error}")
        rows = range(first, first + len(read))
        given = per_item(model.conditions, condition, rows, len(files))
        yield model.embed([found.item for found in read], given, layer=layer)


def _read(model: Model, file: Path, fit: bool) -> FileScore:
    try:
        codec = model.manifest.data.media_codec
        item, steps = decode(file.read_bytes(), declared(file), model.data, codec, fit=fit)
    except MediaError as error:
        return FileScore(file, error=str(error))
    except OSError as error:
        return FileScore(file, error=error.strerror or str(error))
    return FileScore(file, item, fit=steps)
