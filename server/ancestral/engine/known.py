"""What the caller fixes of an item, laid out by site in generation order."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ancestral.models.data import DataSpec

Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]


class KnownError(ValueError):
    """A prefix or a known value that does not fit; `field` is `prefix` or `known`."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(f"{field}: {message}")


def known_by_site(
    data: DataSpec,
    order: npt.NDArray[np.int64] | None,
    sites: int,
    *,
    prefix: Any = None,
    known: Any = None,
    known_mask: Any = None,
) -> tuple[Array | None, Mask | None]:
    """Values and mask [S, C] in generation order, or (None, None) where nothing is known.

    prefix: the first sites in generation order, [n, C], or [n] where a site is one value.
    known: shaped like the data; NaN (or None in lists) where to sample, or true in `known_mask`
    where to keep. Raises KnownError.
    """
    if prefix is not None and known is not None:
        raise KnownError("prefix", "is given beside known; give one of them")
    if known_mask is not None and known is None:
        raise KnownError("known", "is missing beside known_mask")
    if prefix is not None:
        return _from_prefix(data, sites, _numbers("prefix", prefix))
    if known is None:
        return None, None
    return _from_known(data, order, sites, _numbers("known", known), known_mask)


def check_values(field: str, data: DataSpec, values: Array) -> None:
    """Raise KnownError where values are not finite, not whole, or out of the data's levels."""
    if not np.isfinite(values).all():
        raise KnownError(field, "holds numbers that are not finite")
    if data.levels is None or values.size == 0:
        return
    if (values != np.floor(values)).any():
        raise KnownError(
            field, f"holds fractions; whole levels 0 to {data.levels - 1} are expected"
        )
    if values.min() < 0 or values.max() >= data.levels:
        raise KnownError(
            field,
            f"holds {values.min():g} to {values.max():g}; "
            f"levels 0 to {data.levels - 1} are expected",
        )


def _numbers(field: str, value: Any) -> Array:
    try:
        return np.asarray(value, dtype=np.float64)  # None becomes NaN
    except (TypeError, ValueError, OverflowError) as error:
        raise KnownError(field, f"is not an array of numbers: {error}") from error


def _cast(data: DataSpec, values: Array) -> Array:
    return values if data.levels is None else values.astype(np.int64)


def _from_prefix(data: DataSpec, sites: int, prefix: Array) -> tuple[Array, Mask]:
    dims = data.dims_per_site
    if prefix.ndim == 1 and dims == 1:
        prefix = prefix[:, None]
    if prefix.ndim != 2 or prefix.shape[1] != dims:
        raise KnownError("prefix", f"has shape {list(prefix.shape)}; [n, {dims}] is expected")
    if len(prefix) > sites:
        raise KnownError("prefix", f"has {len(prefix)} sites; the item has {sites}")
    check_values("prefix", data, prefix)
    values, mask = np.zeros((sites, dims)), np.zeros((sites, dims), dtype=np.bool_)
    values[: len(prefix)], mask[: len(prefix)] = prefix, True
    return _cast(data, values), mask


def _from_known(
    data: DataSpec, order: npt.NDArray[np.int64] | None, sites: int, known: Array, mask: Any
) -> tuple[Array, Mask]:
    shape = data.shape or (sites,)
    if known.shape != shape:
        raise KnownError("known", f"has shape {list(known.shape)}; {list(shape)} is expected")
    keep = ~np.isnan(known) if mask is None else np.asarray(mask, dtype=np.bool_)
    if keep.shape != shape:
        raise KnownError("known_mask", f"has shape {list(keep.shape)}; {list(shape)} is expected")
    check_values("known", data, known[keep])
    known = np.where(keep, known, 0)
    values = data.to_sites(torch.from_numpy(known)[None])[0].numpy()
    kept = data.to_sites(torch.from_numpy(keep)[None])[0].numpy()
    if order is not None:
        values, kept = values[order], kept[order]
    return _cast(data, values), kept
