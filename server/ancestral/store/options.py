"""What a graph does not say of itself, in the words of the command line, and what they mean."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self, get_args

from ancestral.likelihoods import Likelihood, from_config
from ancestral.models.data import ConditionSpec, DataSpec, Kind

_LIKELIHOODS = {  # word -> kind, and whether it counts components
    "dlm": ("discretized-logistic-mixture", True),
    "categorical": ("categorical", False),
    "bernoulli": ("bernoulli", False),
    "mol": ("mixture-of-logistics", True),
    "gaussian": ("gaussian", False),
    "mog": ("mixture-of-gaussians", True),
}


@dataclass(frozen=True)
class Options:
    """The flags of `ancestral import` for a module's graph; None where a flag is not given."""

    name: str | None = None
    version: int = 1
    data: str | None = None  # image, audio, sequence, vector
    shape: str | None = None  # 3x32x32
    levels: int | None = None
    sample_rate: int | None = None  # Hz
    length: int | None = None  # the most sites of an item of open length
    likelihood: str | None = None  # dlm:10
    encode: str | None = None
    order: str | None = None
    conditions: tuple[str, ...] = ()  # label=label:10
    input_layout: str | None = None
    params_layout: str | None = None
    predicts: str = "same"
    start: str | None = None
    trained_on: str = "unknown"
    licence: str = "unknown"

    def over(self, other: Options) -> Options:
        """These where they are given, else the other's."""
        default = Options()
        given = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if getattr(self, f.name) != getattr(default, f.name)
        }
        return replace(other, **given)

    def to_json(self) -> dict[str, Any]:
        default = asdict(Options())
        return {key: value for key, value in asdict(self).items() if value != default[key]}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Raises ValueError for an unknown key or a value of the wrong type."""
        kinds = {"version": int, "levels": int, "sample_rate": int, "length": int}
        known = {f.name for f in fields(cls)}
        for key, value in document.items():
            wanted = kinds.get(key, list if key == "conditions" else str)
            if key not in known or not isinstance(value, wanted):
                raise ValueError(f"{key}: {value!r} is not an option")
        values = dict(document)
        if "conditions" in values:
            values["conditions"] = tuple(str(item) for item in values["conditions"])
        return cls(**values)

    def flags(self) -> str:
        """As they would be typed."""
        words: list[str] = []
        for key, value in self.to_json().items():
            flag = "--" + {"conditions": "condition"}.get(key, key).replace("_", "-")
            for item in value if isinstance(value, tuple) else (value,):
                text = str(item)
                words += [flag, f"'{text}'" if set(text) & set(" ()") else text]
        return " ".join(words)


def data_spec(options: Options) -> DataSpec:
    """Raises ValueError naming the flag."""
    if options.data not in get_args(Kind):
        raise ValueError(f"--data: give one of {', '.join(get_args(Kind))}, not {options.data!r}")
    kind: Any = options.data
    shape = numbers("--shape", options.shape) if options.shape else []
    axes = {"image": 3, "vector": 1}.get(kind, 0)
    if len(shape) != axes:
        example = {"image": "3x32x32 (channels, rows, columns)", "vector": "784"}.get(kind)
        wanted = f"give it, such as {example}" if example else f"{kind} data have an open length"
        raise ValueError(f"--shape: {wanted}")
    if kind == "audio" and options.sample_rate is None:
        raise ValueError("--sample-rate: give it in Hz for audio")
    if options.levels is not None and options.levels < 2:
        raise ValueError(f"--levels: at least 2, not {options.levels}")
    rate = options.sample_rate if kind == "audio" else None
    return DataSpec(kind, tuple(shape), options.levels, rate)


def numbers(flag: str, text: str) -> list[int]:
    """Whole numbers above 0 from "3x32x32" or "3,32,32"."""
    try:
        found = [int(part) for part in text.replace("x", ",").split(",")]
    except ValueError as error:
        raise ValueError(f"{flag} {text}: whole numbers with commas are expected") from error
    if min(found) < 1:
        raise ValueError(f"{flag} {text}: numbers must be at least 1")
    return found


def likelihood_of(options: Options, data: DataSpec) -> Likelihood:
    """Raises ValueError naming the flag."""
    word, _, count = (options.likelihood or "").partition(":")
    if word not in _LIKELIHOODS:
        raise ValueError(
            "--likelihood: give dlm:10, categorical, bernoulli, mol:10, gaussian or mog:5, "
            f"not {options.likelihood!r}"
        )
    kind, counted = _LIKELIHOODS[word]
    if counted != bool(count) or (count and not count.isdecimal()):
        raise ValueError(
            f"--likelihood {options.likelihood}: "
            + ("say how many components, such as " + word + ":10" if counted else "takes no number")
        )
    config: dict[str, Any] = {"kind": kind}
    if counted:
        config["components"] = int(count)
    if word in ("dlm", "mol", "categorical"):
        if data.levels is None:
            raise ValueError(f"--levels: give it; {word} is for codes")
        config["levels"] = data.levels
    if word == "dlm":
        config["channels"] = data.dims_per_site
    try:
        found = from_config(config)
    except (ValueError, TypeError) as error:
        raise ValueError(f"--likelihood {options.likelihood}: {error}") from error
    if found.discrete != (data.levels is not None):
        raise ValueError(
            f"--levels: {'give it; ' if found.discrete else 'leave it out; '}{word} is for "
            f"{'codes' if found.discrete else 'real values'}"
        )
    if word == "bernoulli" and data.levels != 2:
        raise ValueError("--levels: a bernoulli likelihood is for 2 levels")
    return found


def condition_specs(options: Options) -> dict[str, ConditionSpec]:
    """Conditions by the name of the input: `y=label:10`, `mel=series:80@hop256`, `low=plane:3`.

    Of a label the classes' names may stand for their number: `pet=label:cat,dog`.
    """
    found: dict[str, ConditionSpec] = {}
    for text in options.conditions:
        name, _, what = text.partition("=")
        kind, _, rest = what.partition(":")
        size, _, hop = rest.partition("@hop")
        classes = tuple(rest.split(",")) if kind == "label" and "," in rest else None
        if classes is not None:
            size = str(len(classes))
        if (
            not name
            or name in found
            or kind not in ("label", "series", "plane")
            or not size.isdecimal()
            or ("@" in rest and (kind != "series" or not hop.isdecimal() or int(hop) < 1))
        ):
            raise ValueError(
                f"--condition {text}: INPUT=label:10, INPUT=label:cat,dog, INPUT=series:80@hop256 "
                "or INPUT=plane:3 is expected, once for each input"
            )
        named: Any = kind
        if kind == "label":
            found[name] = ConditionSpec(name, named, classes=int(size), names=classes)
        else:
            found[name] = ConditionSpec(name, named, channels=int(size), hop=int(hop or 1))
    return found


def order_of(options: Options, data: DataSpec) -> str | list[int]:
    """`raster`, `time`, or the positions that a JSON file lists by rank."""
    usual = "time" if data.kind in ("audio", "sequence") else "raster"
    if options.order in (None, usual):
        return usual
    file = Path(str(options.order))
    if file.suffix != ".json":
        raise ValueError(f"--order: {usual} or a .json file of positions, not {options.order!r}")
    found = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(found, list) or not all(isinstance(item, int) for item in found):
        raise ValueError(f"--order {file}: a list of whole numbers is expected")
    return found


def split_conditions(inputs: Sequence[str], named: Mapping[str, ConditionSpec]) -> str:
    """The input that reads the data: the one that no condition names. Raises ValueError."""
    for name in named:
        if name not in inputs:
            raise ValueError(
                f"--condition {name}: the module has no such input; it has {', '.join(inputs)}"
            )
    left = [name for name in inputs if name not in named]
    if len(left) != 1:
        raise ValueError(
            f"--condition: the module's inputs are {', '.join(inputs)}; say of all but the data "
            f"what they are, such as {inputs[-1]}=label:10"
        )
    return left[0]
