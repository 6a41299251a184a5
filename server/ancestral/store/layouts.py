"""Checkpoint layouts of others, as tables of tensor names and shapes, onto first-party families."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from ancestral.store.checkpoint import Checkpoint

State = Mapping[str, Tensor]
Sizes = dict[str, int]  # what the letters of the tables stand for in one checkpoint


class LayoutError(ValueError):
    """A checkpoint that is not of the layout it is taken for, or lacks what must be told."""


@dataclass(frozen=True)
class Rule:
    """One line of a table.

    source     regular expression of the name; its group is the number of the layer
    shape      sizes, or letters that stand for one size throughout ("2D": twice D)
    target     name in the first-party family, `{}` filled with the layer; None: not needed.
               Several lines may read one source; what they give to one target is summed
    taps       the part that is taken, such as the taps that a kernel's mask leaves
    transpose  the axes are taken in the reverse order
    scale      factor for layer n of N: constants of their forward pass, multiplied into the weights
    repeat     how often the taken part is repeated: one number for all of a vector, say
    transform  what else becomes of the taken part
    optional   some files of the layout lack it
    more       so many layers more than are counted have it
    """

    source: str
    shape: tuple[int | str, ...]
    target: str | None
    taps: tuple[slice | int | None, ...] = ()
    transpose: bool = False
    scale: Callable[[int, int], float] | None = None
    repeat: str = "1"
    transform: Callable[[Tensor], Tensor] | None = None
    optional: bool = False
    more: int = 0

    def take(self, tensor: Tensor, layer: int, layers: int, sizes: Sizes) -> Tensor:
        """The target's share of the source."""
        taken = tensor[self.taps]
        if self.transpose:
            taken = taken.permute(*reversed(range(taken.dim())))
        if self.scale is not None:
            taken = (taken.double() * self.scale(layer, layers)).to(taken.dtype)
        if self.repeat != "1":
            factor, letter = _factor(self.repeat)
            taken = taken.repeat(factor * sizes[letter])
        if self.transform is not None:
            taken = self.transform(taken)
        return taken.contiguous()


class Told(Protocol):
    """What the importing person says, because no state dict holds it."""

    @property
    def dilations(self) -> Sequence[int] | None: ...
    @property
    def shape(self) -> Sequence[int] | None: ...
    @property
    def sample_rate(self) -> int | None: ...
    @property
    def heads(self) -> int | None: ...
    @property
    def alphabet(self) -> str | None: ...


@dataclass(frozen=True)
class Found:
    """What a table found in a checkpoint, to describe it by."""

    sizes: Sizes
    layers: int
    told: Told
    state: State
    config: Mapping[str, Any]  # settings that lie beside the tensors


@dataclass(frozen=True)
class Positions:
    """Names of the arrays of a file that numbers them: arr_0, arr_1, … as numpy.savez does.

    `layer` are formats of a layer's names; there are as many layers as fit.
    """

    head: tuple[str, ...]
    layer: tuple[str, ...]
    tail: tuple[str, ...]

    def named(self, state: State) -> State:
        """The state under these names; as it is where it is not such a file."""
        layers, rest = divmod(len(state) - len(self.head) - len(self.tail), len(self.layer))
        numbered = [f"arr_{i}" for i in range(len(state))]
        if rest or layers < 1 or set(numbered) != set(state):
            return state
        repeated = [name.format(n) for n in range(layers) for name in self.layer]
        names = [*self.head, *repeated, *self.tail]
        return {name: state[number] for name, number in zip(names, numbered, strict=True)}


@dataclass(frozen=True)
class Layout:
    """A published layout: how to recognise it, rename it and describe it in a manifest."""

    name: str
    origin: str
    family: str
    rules: tuple[Rule, ...]
    describe: Callable[[Found], dict[str, Any]]  # the manifest's part of it
    layer: str  # regular expression whose group counts the layers
    masks: Mapping[str, Tensor] = field(default_factory=dict)  # what stored masks must equal
    drop: Sequence[str] = ()  # formats of the last layer's tensors that go nowhere
    zeros: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # targets without a source
    positions: Positions | None = None  # names by position, where the file has none

    def named(self, state: State) -> State:
        """The state under the names of the table."""
        return state if self.positions is None else self.positions.named(state)


def recognise(stored: State, layouts: Sequence[Layout]) -> Layout:
    """The layout whose table explains every name. Raises LayoutError with the nearest miss.

    Of several that do, the one whose ranks and fixed sizes are those of the tensors.
    """
    misses = []
    named = []
    for layout in layouts:
        state = layout.named(stored)
        patterns = [rule.source for rule in layout.rules] + list(layout.masks)
        strange = [
            name for name in state if not any(re.fullmatch(pattern, name) for pattern in patterns)
        ]
        absent = [
            rule.source
            for rule in layout.rules
            if not rule.optional and not any(re.fullmatch(rule.source, name) for name in state)
        ]
        if not strange and not absent:
            named.append(layout)
        else:
            misses.append((len(strange) + len(absent), layout.name, (strange + absent)[0]))
    if named:
        return next((layout for layout in named if _fixed_sizes_fit(stored, layout)), named[0])
    _, name, tensor = min(misses)
    raise LayoutError(
        f"no known layout; the nearest is {name}, which {tensor!r} does not fit. "
        f"Known: {', '.join(layout.name for layout in layouts)}"
    )


def _fixed_sizes_fit(state: State, layout: Layout) -> bool:
    return all(
        tensor.dim() == len(rule.shape)
        and all(isinstance(b, str) or a == b for a, b in zip(tensor.shape, rule.shape, strict=True))
        for rule in layout.rules
        for name, tensor in layout.named(state).items()
        if re.fullmatch(rule.source, name)
    )


def convert(
    checkpoint: Checkpoint, layout: Layout, told: Told
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The manifest's description and the family's tensors.

    Raises LayoutError for shapes that contradict the table or one another, gaps in the layers,
    stored masks of another pattern, and for what must be told and is not (naming the flag).
    """
    state = layout.named(checkpoint.state)
    sizes: Sizes = {}
    tensors: dict[str, Tensor] = {}
    layers = _count_layers(state, layout)
    dropped = {name.format(layers - 1) for name in layout.drop}
    for name, tensor in state.items():
        mask = next((m for pattern, m in layout.masks.items() if re.fullmatch(pattern, name)), None)
        if mask is not None:
            if tensor.shape != mask.shape or not torch.equal(tensor.float(), mask):
                raise LayoutError(f"{name} is not the mask of {layout.name}: {tensor.tolist()}")
            continue
        for rule in layout.rules:
            match = re.fullmatch(rule.source, name)
            if match is None:
                continue
            _bind(sizes, rule, name, tuple(tensor.shape))
            if rule.target is not None and name not in dropped:
                target = rule.target.format(*match.groups())
                share = rule.take(
                    tensor, int(match.group(1)) if match.groups() else 0, layers, sizes
                )
                tensors[target] = tensors[target] + share if target in tensors else share
    for name, shape in layout.zeros.items():
        tensors[name] = torch.zeros([sizes[letter] for letter in shape])
    found = Found(sizes, layers, told, state, checkpoint.config)
    return layout.describe(found), tensors


def _count_layers(state: State, layout: Layout) -> int:
    numbers = sorted(
        int(match.group(1)) for name in state if (match := re.fullmatch(layout.layer, name))
    )
    for rule in layout.rules:
        found = sorted(
            int(match.group(1))
            for name in state
            if (match := re.fullmatch(rule.source, name)) and match.groups()
        )
        if rule.optional and not found:
            continue
        wanted = len(numbers) + rule.more
        if "(" in rule.source and found != list(range(wanted)):
            raise LayoutError(f"{rule.source} is there for layers {found}, not 0..{wanted - 1}")
    return len(numbers)


def _factor(size: str) -> tuple[int, str]:
    """ "2D" as 2 and "D"."""
    return int(size[:-1] or 1), size[-1]


def _bind(sizes: Sizes, rule: Rule, name: str, shape: tuple[int, ...]) -> None:
    expected: list[int] = []
    if len(shape) == len(rule.shape):
        for size, wanted in zip(shape, rule.shape, strict=True):
            if isinstance(wanted, int):
                expected.append(wanted)
                continue
            factor, letter = _factor(wanted)
            if letter not in sizes and size % factor == 0:
                sizes[letter] = size // factor
            expected.append(factor * sizes.get(letter, -1))
    if tuple(expected) != shape:
        wanted_text = ", ".join(
            f"{part}={size}" if isinstance(part, str) and size > 0 else str(part)
            for part, size in zip(rule.shape, expected or [0] * len(rule.shape), strict=True)
        )
        raise LayoutError(f"{name} has shape {list(shape)} where [{wanted_text}] is expected")


def cycle(told: Told, layers: int) -> list[int]:
    """The told dilations, repeated to the number of layers. Raises LayoutError naming the flag."""
    pattern = told.dilations
    if not pattern:
        raise LayoutError(
            f"the file does not hold the dilations of its {layers} layers: give --dilations, "
            "such as 1,2,4,8 (repeated to the number of layers)"
        )
    if layers % len(pattern):
        raise LayoutError(f"--dilations names {len(pattern)}, which do not divide {layers} layers")
    return list(pattern) * (layers // len(pattern))
