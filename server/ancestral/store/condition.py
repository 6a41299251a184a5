"""The conditions of a manifest: what the network reads beside the data."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ancestral.media.mel import LogMel
from ancestral.models.data import ConditionSpec
from ancestral.store.part import Finite, Label, Part, Positive

# a letter first and no comma: what names a class on a command line is no number and no list
ClassName = Annotated[str, Field(max_length=64, pattern=r"^[^\W\d_]([^,\r\n]*[^,\s])?$")]


class Frames(Part):
    """How a series is measured of a sound: see `ancestral.media.mel`. Hz, samples."""

    kind: Literal["log-mel"]
    window: Positive
    lowest: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    highest: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    floor: Annotated[float, Field(gt=0, lt=1)]


class Condition(Part):
    """An input beside the data, in the order of the network's arguments."""

    name: Label
    kind: Literal["label", "series", "plane"]
    classes: Positive | None = None
    channels: Positive | None = None
    hop: Positive = 1
    prior: tuple[Finite, ...] | None = None  # of the classes; uniform where absent
    names: tuple[ClassName, ...] | None = None  # of the classes
    frames: Frames | None = None  # of a series that is measured of a sound

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.kind == "label") != (self.classes is not None):
            raise ValueError("classes is for labels, and needed there")
        if (self.kind == "label") != (self.channels is None):
            raise ValueError("channels is for series and planes, and needed there")
        if self.frames is not None and self.kind != "series":
            raise ValueError("frames is for series")
        if self.prior is not None and (
            len(self.prior) != self.classes
            or min(self.prior) < 0
            or not math.isclose(sum(self.prior), 1.0, abs_tol=1e-6)
        ):
            raise ValueError("prior must hold a probability for each class and sum to 1")
        if self.names is not None and (
            len(self.names) != self.classes or len(set(self.names)) != self.classes
        ):
            raise ValueError("names must hold another name for each class")
        return self

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec(
            name=self.name,
            kind=self.kind,
            classes=self.classes,
            channels=self.channels,
            hop=self.hop,
            prior=self.prior,
            names=self.names,
        )

    def measure(self, sample_rate: int) -> LogMel | None:
        """What makes the series of a sound of that rate; None where the manifest does not say."""
        if self.frames is None:
            return None
        frames = self.frames
        return LogMel(
            rate=sample_rate,
            hop=self.hop,
            window=frames.window,
            bands=self.channels or 0,
            lowest=frames.lowest,
            highest=frames.highest,
            floor=frames.floor,
        )
