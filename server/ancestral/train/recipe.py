"""A recipe: everything that decides how a package's weights come about, as a TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from ancestral.faults import first_fault
from ancestral.models.distaug import TRANSFORMATION
from ancestral.store.condition import Condition
from ancestral.store.manifest import Data
from ancestral.store.part import Part

Fraction = Annotated[float, Field(ge=0, le=1)]
Above = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class RecipeError(ValueError):
    """A recipe that cannot be followed; the message names the file and the field."""


class Source(Part):
    """A data set by name: a file of the data folder and the SHA-256 it must have.

    With `package` the file is one that the named Python package brings along.
    """

    name: str
    package: str | None = None
    file: str
    sha256: Annotated[str, Field(pattern="[0-9a-f]{64}")]
    licence: str


class Training(Part):
    """Adam on batches of whole items: warm-up, constant rate, then a linear fall to zero.

    Because the rate is constant until the last `decay` of the steps, a run of fewer steps passes
    through the same weights as a longer one until it starts to fall.
    """

    steps: Count
    batch: Count
    learning_rate: Above
    warmup: Annotated[int, Field(ge=0)] = 100
    decay: Fraction = 0.3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip: Above = 1.0  # largest norm of the gradient
    average: Annotated[float, Field(ge=0, lt=1)] = 0.999  # of the exponential mean of the weights
    coarse: Annotated[float, Field(ge=0)] = 0.0  # weight of the codes' upper bit beside the codes
    coarse_from: Annotated[int, Field(ge=0)] = 0  # the step from which it counts
    optimizer: Literal["adamw", "muon"] = "adamw"  # muon: for the matrices of the blocks
    longest: Count | None = None  # sites of an item of open length that are read in training
    silence: Annotated[int, Field(ge=0)] = 0  # sites of silence learnt after the end of a sound
    validate_every: Count = 500
    validate_items: Count = 500


class Card(Part):
    """What the model card says that training does not know."""

    title: str
    summary: str
    licence: str = "cc-by-4.0"
    tags: tuple[str, ...] = ()
    attribution: str
    published: str  # figures of the paper to hold the test figure against
    longer: str  # what longer training would gain
    notes: str = ""


class Recipe(Part):
    """`models_store/recipes/NAME.toml`."""

    name: str
    version: Count = 1
    family: str
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    dtype: Literal["float32", "float16"] = "float32"  # of the stored weights
    reference_items: Count = 1000
    test_items: Count | None = None  # that figures are made of, evenly spread; all where absent
    hyperparameters: dict[str, Any]
    input_encoding: Literal["int", "unit", "signed", "one-hot"] | None = None
    data: Data
    palette: Literal["k-means"] | None = None  # of data.levels colours, found in the training set
    source: Source
    likelihood: dict[str, Any]
    conditions: tuple[Condition, ...] = ()
    training: Training
    card: Card

    @property
    def source_data(self) -> Data:
        """What the data set holds: RGB images where the recipe makes codes of a palette of them."""
        if self.palette is None:
            return self.data
        return Data(kind="image", shape=(3, *self.data.shape[1:]), levels=256)

    @property
    def transformations(self) -> tuple[str, ...]:
        """Of distribution augmentation: the classes of the condition that bears their name."""
        named = {condition.name: condition.names for condition in self.conditions}
        return named.get(TRANSFORMATION) or ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.palette is not None and (
            self.data.kind != "image"
            or self.data.shape[0] != 1
            or self.data.levels is None
            or self.data.palette is not None
        ):
            raise ValueError("palette is for images of shape [1, H, W] whose colours are not given")
        if self.training.coarse and (
            self.likelihood.get("kind") != "categorical" or not self.data.shape
        ):
            raise ValueError("training.coarse is for categorical likelihoods of one size of item")
        if any(c.name == TRANSFORMATION for c in self.conditions) and (
            self.transformations[:1] != ("identity",)
        ):
            raise ValueError(
                f"the condition {TRANSFORMATION} is a label whose names say what is done to an "
                "item, the identity first"
            )
        return self


def read_recipe(path: Path) -> Recipe:
    """Parse a recipe. Raises RecipeError naming the file and the field."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return Recipe.model_validate(table, strict=False)
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: is not TOML: {error}") from error
    except ValidationError as error:
        raise RecipeError(f"{path}: {first_fault(error)}") from error
