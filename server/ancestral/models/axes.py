"""Layouts of tensors by letters: `b c h w`, `b (h w) (c p)`, in the manner of einops.

Letters: b batch, c channel, h row, w column, t position of a sound, sequence or vector, k what a
code is spread over by its encoding (one-hot levels, bits), p the parameters of one vector. Axes in
parentheses are flattened together, the last one fastest. An axis of size one may be left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from torch import Tensor

Sizes = Mapping[str, int | None]  # None: open


@dataclass(frozen=True)
class Layout:
    """Groups of axes, outermost first; the first is the batch alone."""

    groups: tuple[str, ...]

    @staticmethod
    def parse(text: str, letters: str) -> Layout:
        """Raises ValueError for what is no layout of those letters."""
        groups = tuple(re.findall(r"\(([a-z ]+)\)|([a-z])", text))
        found = tuple("".join(group).replace(" ", "") for group in groups)
        rest = re.sub(r"\([a-z ]+\)|[a-z]| ", "", text)
        flat = "".join(found)
        if rest or not found or found[0] != "b" or len(set(flat)) < len(flat):
            raise ValueError(f"{text!r} is not a layout such as 'b c h w' or 'b (h w) c'")
        strange = set(flat) - set(letters)
        if strange:
            raise ValueError(f"{text!r}: the axes here are {' '.join(letters)}")
        return Layout(found)

    def __str__(self) -> str:
        return " ".join(f"({' '.join(g)})" if len(g) > 1 else g for g in self.groups)

    @property
    def letters(self) -> str:
        return "".join(self.groups)

    def shape(self, sizes: Sizes) -> tuple[int | None, ...]:
        """What a tensor of this layout has; None where it is open."""
        found: list[int | None] = []
        for group in self.groups:
            parts = [None if letter == "b" else sizes[letter] for letter in group]
            known = [part for part in parts if part is not None]
            found.append(prod(known) if len(known) == len(parts) else None)
        return tuple(found)

    def fits(self, shape: Sequence[int | None], sizes: Sizes) -> bool:
        """Whether a tensor of that shape can have this layout; the batch may be anything.

        An open size stands for any where the shape has only numbers, else for an open one.
        """
        missing = [x for x in sizes if x not in self.letters and sizes[x] != 1]
        mine = self.shape(sizes)[1:]
        static = None not in shape[1:]
        return (
            not missing
            and len(mine) == len(shape) - 1
            and all(a == b or (static and a is None) for a, b in zip(mine, shape[1:], strict=True))
        )

    def canonical(self, sizes: Sizes) -> tuple[str, ...]:
        """Groups without axes of size one: layouts equal in this are the same."""
        return tuple(
            "".join(letter for letter in group if sizes.get(letter) != 1) for group in self.groups
        )


def rearrange(tensor: Tensor, source: Layout, target: Layout, sizes: Mapping[str, int]) -> Tensor:
    """A tensor of one layout in another; `sizes` of all letters but b."""
    if source == target:
        return tensor
    known = {**sizes, "b": tensor.shape[0]}
    letters = [x for x in source.letters if x in target.letters]
    if any(len(group) != 1 for group in source.groups) or len(letters) < len(source.letters):
        tensor = tensor.reshape([known[letter] for letter in letters])
    for i, letter in enumerate(target.letters):
        if letter not in letters:  # of size one
            letters.insert(i, letter)
            tensor = tensor.unsqueeze(i)
    order = [letters.index(letter) for letter in target.letters]
    if order != list(range(len(order))):
        tensor = tensor.permute(order)
    if any(len(group) != 1 for group in target.groups):
        tensor = tensor.reshape([prod(known[letter] for letter in g) for g in target.groups])
    return tensor


def input_layouts(kind: str) -> list[str]:
    """The layouts in which networks read codes [B, C, H, W] or [B, T], the usual first."""
    if kind == "image":
        return [
            "b c h w", "b h w c", "b h w", "b (c k) h w", "b (k c) h w", "b c k h w", "b k c h w",
            "b c h w k", "b h w c k", "b h w (c k)", "b (h w c)", "b (c h w)", "b (h w c) k",
            "b (c h w) k", "b (h w) c", "b c (h w)", "b (h w) (c k)", "b (c k) (h w)",
        ]  # fmt: skip
    return ["b t", "b k t", "b t k", "b c t", "b t c"]


def params_layouts(kind: str) -> list[str]:
    """The layouts in which networks answer, the usual first."""
    if kind == "image":
        return [
            "b (c p) h w", "b (p c) h w", "b c p h w", "b p c h w", "b h w (c p)", "b h w (p c)",
            "b h w c p", "b c h w p", "b (h w c) p", "b (c h w) p", "b p (h w c)", "b p (c h w)",
            "b (h w) (c p)", "b (h w) (p c)", "b (c p) (h w)", "b (p c) (h w)", "b h w p c",
            "b (h w c p)", "b (c h w p)",
        ]  # fmt: skip
    return ["b p t", "b t p", "b t", "b (t p)", "b (p t)"]


def inferred(
    flag: str, candidates: Sequence[str], shape: Sequence[int | None], sizes: Sizes
) -> Layout:
    """The one candidate that fits the shape. Raises ValueError naming the flag where it is not one.

    Candidates that differ only in where axes of size one are count as the same.
    """
    found: dict[tuple[str, ...], Layout] = {}
    for text in candidates:
        layout = Layout.parse(text, "bchwtkp")
        if set(layout.letters) - {"b"} <= set(sizes) and layout.fits(shape, sizes):
            found.setdefault(layout.canonical(sizes), layout)
    shown = "[" + ", ".join("*" if size is None else str(size) for size in shape) + "]"
    if not found:
        where = ", ".join(f"{x}={n}" for x, n in sizes.items() if x != "b" and n is not None)
        raise ValueError(
            f"{flag}: no usual layout gives the shape {shown} with {where or 'an open length'}; "
            "give it in letters, such as 'b (c p) h w'"
        )
    if len(found) > 1:
        names = " | ".join(f"'{layout}'" for layout in found.values())
        raise ValueError(f"{flag}: the shape {shown} fits more than one layout; give one: {names}")
    return next(iter(found.values()))
