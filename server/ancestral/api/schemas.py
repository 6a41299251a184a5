"""What requests hold, as the OpenAPI document describes it; `answers` has what is said to them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

LARGEST_JSON_SEED = 2**53 - 1
_DECIMAL = re.compile(r"[0-9]{1,20}")


def _seed(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        if 0 <= value <= LARGEST_JSON_SEED:
            return value
        raise ValueError(f"an integer from 0 to {LARGEST_JSON_SEED} or a decimal string")
    if isinstance(value, str) and _DECIMAL.fullmatch(value) and int(value) < 2**64:
        return int(value)
    raise ValueError("an integer from 0 to 2^53 - 1, or a decimal string below 2^64, is expected")


Seed = Annotated[
    int,
    BeforeValidator(_seed),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": LARGEST_JSON_SEED},
                {"type": "string", "pattern": "^[0-9]{1,20}$"},
            ]
        }
    ),
]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Returned = Literal["log_prob", "bits_per_dim", "per_dim", "heat_map", "percentile", "data"]
CONDITION = "by name: a label, its number or name; numbers or a file of them; a list: one per item"
RETURNED: tuple[Returned, ...] = ("log_prob", "bits_per_dim", "percentile")


class Body(BaseModel):
    """Base of requests: strict types, unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Queued(Body):
    """What every job may say of its place in the queue."""

    model: str = Field(description="NAME, or NAME/VERSION", min_length=1, max_length=128)
    priority: Literal[1, 2, 3] = Field(2, description="1 is served first")
    timeout_seconds: Positive | None = Field(
        None, description="504 if no worker has started by then"
    )


class SampleBody(Queued):
    """A sampling request."""

    count: int = Field(1, ge=1, description="items")
    seed: Seed | None = Field(None, description="drawn and returned where absent")
    first_item: int = Field(0, ge=0, lt=2**32, description="item i is drawn as item first_item + i")
    condition: dict[str, Any] | None = Field(None, description=CONDITION)
    fit: bool = Field(False, description="resample a condition's recordings, and say so in notes")
    temperature: float = Field(1.0, ge=0, le=100, allow_inf_nan=False)
    top_k: int | None = Field(None, ge=1)
    top_p: float | None = Field(None, gt=0, le=1, allow_inf_nan=False)
    prefix: list[Any] | str | None = Field(
        None, description="the first sites in generation order; of text, its beginning"
    )
    known: list[Any] | None = Field(None, description="shaped like an item, null where to sample")
    order: str | None = Field(None, description="of an ensemble: draw and score under this one")
    sites: int | None = Field(None, ge=1, description="length of items of open length")
    seconds: Positive | None = Field(None, description="the same, in time")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"model": "gated-pixelcnn-mnist", "count": 4, "seed": 7, "condition": {"label": 3}},
                {
                    "model": "wavenet-digits",
                    "seconds": 0.5,
                    "condition": {"digit": 2, "speaker": 0},
                },
            ]
        }
    )


class File(Body):
    """A file in JSON."""

    data: str = Field(description="base64 of the bytes of a PNG, JPEG, WAV, MIDI, TXT or NPY file")
    content_type: str | None = None


class ItemOptions(Queued):
    """What requests about the client's items have in common."""

    condition: dict[str, Any] | None = Field(None, description=CONDITION)
    fit: bool = Field(
        False, description="resize, resample and cast items and conditions, and say so"
    )


class LogProbOptions(ItemOptions):
    """What a scoring request says beside its items."""

    returned: list[Returned] = Field(list(RETURNED), alias="return", min_length=1)
    order: str | None = Field(None, description="of an ensemble: score under this one alone")
    marginal: bool = Field(False, description="sum out labels that the condition does not give")


class LogProbBody(LogProbOptions):
    """A scoring request in JSON."""

    inputs: list[list[Any] | str | File] = Field(
        min_length=1, description="items: nested numbers, text, or files in base64"
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "made-binary-mnist",
                    "inputs": [{"data": "iVBORw0KGgo…", "content_type": "image/png"}],
                    "return": ["log_prob", "bits_per_dim", "percentile"],
                }
            ]
        }
    )


class EmbedOptions(ItemOptions):
    """What a request for representations says beside its items."""

    layer: int | None = Field(
        None, ge=1, description="the hidden state after that many layers; half of them if absent"
    )


class EmbedBody(EmbedOptions):
    """A request for representations in JSON."""

    inputs: list[list[Any] | str | File] = Field(
        min_length=1, description="items: nested numbers, text, or files in base64"
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "image-gpt-binary-mnist",
                    "inputs": [{"data": "iVBORw0KGgo…", "content_type": "image/png"}],
                    "layer": 2,
                }
            ]
        }
    )
