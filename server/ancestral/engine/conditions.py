"""From the words of a request to the tensors that a network is conditioned on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ancestral.models.data import ConditionSpec, DataSpec


class ConditionError(ValueError):
    """A condition that does not fit the package; `field` names it, as `condition.label`."""

    def __init__(self, name: str, message: str) -> None:
        self.field = f"condition.{name}" if name else "condition"
        super().__init__(f"{self.field}: {message}")


def tensors(
    specs: Sequence[ConditionSpec],
    condition: Mapping[str, Any] | None,
    count: int | None = None,
    *,
    optional: bool = False,
) -> tuple[torch.Tensor | None, ...]:
    """The conditions in the order of the manifest, each of batch one, or `count` if given a list.

    A label is an integer or the name of a class, for every item, or a list of `count` of them; a
    series is [channels, T], a plane [channels, H, W], or one of those per item. What is missing is
    the label that the prior is certain of, else None where `optional`, else an error. Raises
    ConditionError, which names the field.
    """
    condition = {} if condition is None else condition
    if not isinstance(condition, Mapping):
        raise ConditionError("", f"an object of names and values is expected, not {condition!r}")
    names = [spec.name for spec in specs]
    for name in condition:
        if name not in names:
            takes = f"it takes {', '.join(names)}" if names else "it takes none"
            raise ConditionError(str(name), f"the model has no such condition; {takes}")
    found: list[torch.Tensor | None] = []
    for spec in specs:
        value = condition.get(spec.name)
        if value is None and spec.prior is not None and 1.0 in spec.prior:
            value = spec.prior.index(1.0)  # the prior leaves no choice
        if value is None:
            if not optional:
                raise ConditionError(spec.name, f"is missing; {_expected(spec)}")
            found.append(None)
        elif spec.kind == "label":
            found.append(_labels(spec, value, count))
        else:
            found.append(_signal(spec, value, count))
    return tuple(found)


def per_item(
    specs: Sequence[ConditionSpec],
    condition: Mapping[str, Any] | None,
    chosen: Sequence[int],
    count: int,
) -> dict[str, Any] | None:
    """The condition of the items `chosen` of `count`, where labels may be listed for all of them.

    Raises ConditionError where a list is not as long.
    """
    if condition is None:
        return None
    labels = {spec.name: spec for spec in specs if spec.kind == "label"}
    found = dict(condition)
    for name, value in condition.items():
        if name in labels and isinstance(value, Sequence) and not isinstance(value, str):
            _check_count(labels[name], len(value), count)
            found[name] = value if len(value) == 1 else [value[index] for index in chosen]
    return found


def sites_of(specs: Sequence[ConditionSpec], rows: Sequence[torch.Tensor | None]) -> int | None:
    """The sites that the first series covers; None where there is no series."""
    for spec, row in zip(specs, rows, strict=True):
        if spec.kind == "series" and row is not None:
            return row.shape[-1] * spec.hop
    return None


def check_sizes(
    specs: Sequence[ConditionSpec],
    rows: Sequence[torch.Tensor | None],
    data: DataSpec,
    sites: int,
    *,
    whole: bool = True,
) -> None:
    """A series must cover the sites, exactly where `whole`; a plane is of the data's size.

    Without `whole` the last value of a series may reach beyond the last site. Raises
    ConditionError, which names the field.
    """
    for spec, row in zip(specs, rows, strict=True):
        if row is None:
            continue
        if spec.kind == "series":
            count = row.shape[-1]
            if count != -(-sites // spec.hop) or (whole and sites % spec.hop):
                raise ConditionError(
                    spec.name,
                    f"has {count} values in time, which cover {count * spec.hop} sites at a hop "
                    f"of {spec.hop}, not {sites}",
                )
        if spec.kind == "plane" and tuple(row.shape[-2:]) != data.shape[-2:]:
            raise ConditionError(
                spec.name,
                f"has shape {list(row.shape[1:])}; {[spec.channels, *data.shape[-2:]]} is expected",
            )


def _expected(spec: ConditionSpec) -> str:
    if spec.kind == "label":
        named = f"{', '.join(spec.names)}, or " if spec.names else ""
        return f"{named}an integer from 0 to {(spec.classes or 0) - 1} is expected"
    axes = "time" if spec.kind == "series" else "height, width"
    return f"numbers of shape [{spec.channels}, {axes}] are expected"


def _labels(spec: ConditionSpec, value: Any, count: int | None) -> torch.Tensor:
    labels = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if isinstance(value, np.ndarray | torch.Tensor):
        labels = value.reshape(-1).tolist()
    _check_count(spec, len(labels), count)
    names = list(spec.names or ())
    labels = [names.index(label) if label in names else label for label in labels]
    for label in labels:
        whole = isinstance(label, int | np.integer) and not isinstance(label, bool)
        if not whole or not 0 <= label < (spec.classes or 0):
            raise ConditionError(spec.name, f"{_expected(spec)}, not {label!r}")
    return torch.tensor([int(label) for label in labels], dtype=torch.int64)


def _signal(spec: ConditionSpec, value: Any, count: int | None) -> torch.Tensor:
    rank = 2 if spec.kind == "series" else 3
    try:
        array = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise ConditionError(spec.name, f"{_expected(spec)}: {error}") from error
    if array.ndim == rank:
        array = array[None]
    if array.ndim != rank + 1 or array.shape[1] != spec.channels or 0 in array.shape:
        raise ConditionError(spec.name, f"{_expected(spec)}, not {list(array.shape)}")
    if not np.isfinite(array).all():
        raise ConditionError(spec.name, "holds numbers that are not finite")
    _check_count(spec, len(array), count)
    return torch.from_numpy(array)


def _check_count(spec: ConditionSpec, rows: int, count: int | None) -> None:
    if rows not in (1, 1 if count is None else count):
        items = "one" if count is None else f"one or {count}"
        raise ConditionError(spec.name, f"{items} values are expected, not {rows}")
