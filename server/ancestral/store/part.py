"""What the parts of a manifest and of a recipe have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[int, Field(ge=1)]
Label = Annotated[str, Field(min_length=1, max_length=64)]


class Part(BaseModel):
    """Base of the manifest and its parts: strict types, no unknown keys, no changes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
