"""`model.json`: everything about a package but its weights. Unknown keys are errors."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ancestral.media.codecs import Codec, from_config, lost_in_int16
from ancestral.media.codecs import Linear as LinearCodec
from ancestral.media.codecs import MuLaw as MuLawCodec
from ancestral.media.codecs import Text as TextCodec
from ancestral.media.midi import Midi as MidiCodec
from ancestral.models.axes import Layout
from ancestral.models.data import DataSpec
from ancestral.models.network import Encoding, ParamsLayout
from ancestral.models.rounding import Precision
from ancestral.store.condition import Condition
from ancestral.store.part import Finite, Label, Part, Positive

NAME = re.compile(r"(?=.{1,128}\Z)[a-z0-9]+([._-][a-z0-9]+)*")
Byte = Annotated[int, Field(ge=0, le=255)]


class MuLaw(Part):
    """See `ancestral.media.codecs.MuLaw`."""

    kind: Literal["mu-law"]
    mu: Positive
    levels: Annotated[int, Field(ge=2, le=65536)]
    rounding: Literal["nearest", "floor"]
    decode_points: Literal["grid", "midpoints"]
    survives_int16: bool = True  # false: some codes do not come back from a 16-bit WAV file

    @model_validator(mode="after")
    def _honest(self) -> Self:
        lost = lost_in_int16(MuLawCodec(self.mu, self.levels, self.rounding, self.decode_points))
        if bool(lost) == self.survives_int16:
            raise ValueError(f"survives_int16 must be {not lost}: codes lost are {lost[:8]}")
        return self


class Linear(Part):
    """See `ancestral.media.codecs.Linear`."""

    kind: Literal["linear"]
    levels: Annotated[int, Field(ge=2, le=65536)]


class Text(Part):
    """See `ancestral.media.codecs.Text`."""

    kind: Literal["text"]
    alphabet: Annotated[str, Field(min_length=2, max_length=65536)]

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.alphabet)) < len(self.alphabet):
            raise ValueError("alphabet holds a character twice")
        return self

    @property
    def levels(self) -> int:
        return len(self.alphabet)


class Midi(Part):
    """See `ancestral.media.midi.Midi`."""

    kind: Literal["midi"]
    voices: Annotated[int, Field(ge=1, le=64)] = 1
    steps: Annotated[int, Field(ge=1, le=64)] = 4
    tempo: Annotated[float, Field(ge=4, le=1000)] = 80.0

    @property
    def levels(self) -> int:
        return MidiCodec.levels


class Length(Part):
    """Sites of an item of open length: what a request gets that names none, and the most."""

    default: Positive
    maximum: Positive

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.default > self.maximum:
            raise ValueError(f"default {self.default} exceeds maximum {self.maximum}")
        return self


class Data(Part):
    """What an item is. `levels` absent: real values. A palette gives each code its colour."""

    kind: Literal["image", "audio", "vector", "sequence"]
    shape: tuple[Positive, ...] = ()
    levels: Annotated[int, Field(ge=2, le=65536)] | None = None
    codec: Annotated[MuLaw | Linear | Text | Midi, Field(discriminator="kind")] | None = None
    sample_rate: Annotated[int, Field(ge=1000, le=768000)] | None = None
    palette: tuple[tuple[Byte, Byte, Byte], ...] | None = None
    length: Length | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        axes = {"image": 3, "vector": 1, "audio": 0, "sequence": 0}[self.kind]
        if len(self.shape) != axes:
            raise ValueError(f"{self.kind} data has a shape of {axes} numbers")
        if (axes == 0) != (self.length is not None):
            raise ValueError("length is for data of open length, and needed there")
        if self.kind == "audio" and (self.codec is None or self.sample_rate is None):
            raise ValueError("audio needs a codec and a sample_rate")
        if self.kind != "audio" and self.sample_rate is not None:
            raise ValueError("sample_rate is for audio")
        fitting = {"audio": MuLaw | Linear, "sequence": Text | Midi}.get(self.kind)
        if self.codec is not None and (fitting is None or not isinstance(self.codec, fitting)):
            raise ValueError(f"a {self.codec.kind} codec is not for {self.kind} data")
        if self.codec is not None and self.codec.levels != self.levels:
            raise ValueError(f"the codec has {self.codec.levels} levels, the data {self.levels}")
        if self.palette is not None and (
            self.kind != "image" or self.shape[0] != 1 or len(self.palette) != self.levels
        ):
            raise ValueError("a palette is for images of shape [1, H, W], a colour for each level")
        return self

    @property
    def words(self) -> str:
        """As in "image 1×28×28, 2 levels", "audio 8000 Hz, 256 levels", "sequence, 65 levels"."""
        rate = "" if self.sample_rate is None else f"{self.sample_rate} Hz"
        size = "×".join(map(str, self.shape)) or rate
        values = "real values" if self.levels is None else f"{self.levels} levels"
        return f"{self.kind} {size}".rstrip() + f", {values}"

    @property
    def spec(self) -> DataSpec:
        return DataSpec(
            kind=self.kind, shape=self.shape, levels=self.levels, sample_rate=self.sample_rate
        )

    @property
    def media_codec(self) -> Codec | None:
        """How files are read and written; None where only numbers are."""
        if self.codec is not None:
            if isinstance(self.codec, MuLaw):
                codec = self.codec
                return MuLawCodec(codec.mu, codec.levels, codec.rounding, codec.decode_points)
            if isinstance(self.codec, Text):
                return TextCodec(self.codec.alphabet)
            if isinstance(self.codec, Midi):
                return MidiCodec(self.codec.voices, self.codec.steps, self.codec.tempo)
            return LinearCodec(self.codec.levels)
        if self.palette is not None:
            return from_config({"kind": "palette", "colours": self.palette})
        if self.kind == "image" and self.levels is not None and self.levels <= 256:
            return from_config({"kind": "levels", "levels": self.levels})
        return None


class Reference(Part):
    """Scores of held-out items, ascending: where an item falls among them is its percentile.

    `unit` is nats (log_prob) for data of one size, else bits per dimension negated, so that low is
    anomalous in both. `marginal`: the labels were summed out.
    """

    unit: Literal["nats", "-bits/dim"]
    scores: Annotated[tuple[Finite, ...], Field(min_length=1)]
    marginal: bool = False

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if any(low > high for low, high in zip(self.scores, self.scores[1:], strict=False)):
            raise ValueError("scores must be ascending")
        return self


class Provenance(Part):
    """Where the weights come from; metrics are of the held-out set, named with their unit."""

    data: str
    licence: str
    command: str
    seed: int | None = None
    metrics: dict[str, Finite] = Field(default_factory=dict)


class GraphEnds(Part):
    """How `graph.json` is read and answered: see `ancestral.compile.graph_network.Ends`."""

    input_layout: str
    params_layout: str
    start: int | Literal["zeros", "unscored"] | None = None  # before the first value

    @model_validator(mode="after")
    def _layouts(self) -> Self:
        Layout.parse(self.input_layout, "bchwtk")
        Layout.parse(self.params_layout, "bchwtp")
        return self


class Manifest(Part):
    """`model.json` as a whole. The family `graph` has its operators in `graph.json`."""

    schema_version: Literal[1] = 1
    name: str
    version: Positive
    family: str
    hyperparameters: dict[str, Any] = Field(default_factory=dict)
    data: Data
    likelihood: dict[str, Any]
    conditions: tuple[Condition, ...] = ()
    order: Literal["raster", "time", "ensemble"] | tuple[int, ...] = "raster"  # position of a rank
    orders: dict[Label, tuple[int, ...]] = Field(default_factory=dict)  # of an ensemble, by name
    predicts: Literal["same", "next"] = "same"  # the site that the output at a site is for
    input_encoding: Encoding
    params_layout: ParamsLayout | None = None  # of a family
    graph: GraphEnds | None = None  # of the family `graph`
    weights: Precision | None = None  # of the matrices, where nobody asks for another: float32
    reference: Reference | None = None
    provenance: Provenance

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.name) > 64 or not NAME.fullmatch(self.name):
            raise ValueError(f"name {self.name!r} is not of the form a-b_c.1, in lower case")
        if (self.family == "graph") != (self.graph is not None):
            raise ValueError("graph is for the family graph, and needed there")
        if (self.params_layout is None) != (self.graph is not None):
            raise ValueError("params_layout is for families, and needed there")
        if self.predicts == "next" and (self.graph is None or self.graph.start is None):
            raise ValueError("predicts next is for graphs, and needs a start")
        names = [condition.name for condition in self.conditions]
        if len(set(names)) < len(names):
            raise ValueError("two conditions have the same name")
        for condition in self.conditions:
            if condition.frames is not None and self.data.sample_rate is None:
                raise ValueError(f"condition {condition.name}: frames are of sounds")
            condition.measure(self.data.sample_rate or 0)  # raises for bands that cannot be
        levels = self.likelihood.get("levels")
        if levels is not None and levels != self.data.levels:
            raise ValueError(f"likelihood has {levels} levels, the data {self.data.levels}")
        if (self.order == "ensemble") != (len(self.orders) > 0):
            raise ValueError("orders is for the order 'ensemble', and needed there")
        permutations = [self.order] if not isinstance(self.order, str) else []
        permutations += self.orders.values()
        sequential = self.data.kind in ("audio", "sequence")
        spec = self.data.spec
        for permutation in permutations:
            sites = math.prod(self.data.shape) // spec.dims_per_site
            if sequential or sorted(permutation) != list(range(sites)):
                raise ValueError(f"order must be a permutation of the {sites} sites")
        if self.order == ("raster" if sequential else "time"):
            raise ValueError(f"order {self.order!r} does not fit {self.data.kind} data")
        return self

    @property
    def permutation(self) -> tuple[int, ...] | None:
        """rank -> position; None in raster order, in time, and for an ensemble."""
        return None if isinstance(self.order, str) else self.order

    @property
    def label(self) -> str:
        """What requests, jobs and answers call it: name/version."""
        return f"{self.name}/{self.version}"

    def for_order(self, name: str) -> Manifest:
        """The manifest of an ensemble's member. Its scores have no reference. Raises KeyError."""
        return self.model_copy(update={"order": self.orders[name], "orders": {}, "reference": None})
