"""How many sites a request asks for."""

from __future__ import annotations

import math

from ancestral.models.data import DataSpec
from ancestral.store.manifest import Length


class LengthError(ValueError):
    """A length that the model cannot have; `field` is `sites` or `seconds`."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(f"{field}: {message}")


def sites_of(
    data: DataSpec, length: Length | None, sites: int | None, seconds: float | None
) -> int:
    """Sites of an item: the data's own, or as asked, or the manifest's default `length`.

    Raises LengthError: a length for data of one size, both kinds at once, beyond the maximum.
    """
    if length is None:
        own = data.sites()
        if seconds is not None:
            raise LengthError("seconds", f"every item has {own} sites")
        if sites not in (None, own):
            raise LengthError("sites", f"every item has {own}, not {sites}")
        return own
    if seconds is None:
        return _bounded("sites", length, length.default if sites is None else sites)
    if sites is not None:
        raise LengthError("seconds", "is given beside sites; give one of them")
    if data.sample_rate is None:
        raise LengthError("seconds", "the data have no sample rate; give sites")
    if not math.isfinite(seconds):
        raise LengthError("seconds", f"must be a finite number, not {seconds}")
    if not math.isfinite(seconds * data.sample_rate):
        raise LengthError("seconds", f"asks for {seconds:g} s; that is too long")
    return _bounded("seconds", length, round(seconds * data.sample_rate))


def _bounded(field: str, length: Length, sites: int) -> int:
    if not 1 <= sites <= length.maximum:
        raise LengthError(field, f"asks for {sites} sites; 1 to {length.maximum} are possible")
    return sites
