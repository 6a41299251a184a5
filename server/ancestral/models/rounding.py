"""Weights in fewer bits: matrices rounded to bfloat16, or to eight bits with a scale per output.

What is rounded is the network itself, so that whatever scores or samples it computes with the same
numbers; a runtime may then hold the matrices in two bytes or one without changing a bit of a
result. Scales are powers of two: q · 2^e is a float32 exactly, whatever subset of a row is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ancestral.models.network import Network

Precision = Literal["float32", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
BYTES: dict[Precision, int] = {"float32": 4, "bf16": 2, "int8": 1}
LARGEST = 127  # of an eight-bit weight: symmetric about 0


def round_weights(network: Network, precision: Precision) -> None:
    """Round the network's matrices in place; biases, gains and tables of embeddings stay."""
    if precision == "float32":
        return
    with torch.no_grad():
        for matrix, axis in matrices(network):
            matrix.copy_(rounded(matrix, precision, axis))


def rounded(matrix: Tensor, precision: Precision, axis: int = 0) -> Tensor:
    """A matrix as numbers of that precision, in its own type; `axis` is that of the outputs."""
    if precision == "float32":
        return matrix
    if precision == "bf16":
        return matrix.to(torch.bfloat16).to(matrix.dtype)
    by_output = matrix.transpose(0, axis)
    scale = scales(by_output.flatten(1)).reshape(-1, *(1,) * (matrix.dim() - 1))
    return (torch.round(by_output / scale) * scale).transpose(0, axis)


def scales(rows: Tensor) -> Tensor:
    """For each of the rows [out, in] the least power of two s with |row| ≤ 127 s, [out]."""
    fraction, exponent = torch.frexp(rows.abs().amax(1) / LARGEST)
    exponent = torch.where(fraction == 0.5, exponent - 1, exponent)  # a power of two itself
    found = torch.ldexp(torch.ones_like(fraction), exponent)
    return torch.where(fraction == 0, torch.ones_like(found), found)


def matrices(network: Network) -> Iterator[tuple[Tensor, int]]:
    """The weights of products, once each, with the axis of their outputs.

    A weight that is computed from others (weight norm) becomes one of its own first.
    """
    products = getattr(network, "products", None)
    if products is not None:  # of a graph: the constants that its products read
        yield from products()
        return
    seen: set[int] = set()
    for module in network.modules():
        settle = getattr(module, "settle", None)
        if settle is not None:
            settle()
        if isinstance(module, nn.Embedding):
            continue
        axis = 1 if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d) else 0
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.dim() > 1 and "bias" not in name and id(parameter) not in seen:
                seen.add(id(parameter))
                yield parameter, axis
