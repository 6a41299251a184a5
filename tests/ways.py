"""What the tests of ways of writing a network share: small masked layers and the comparison."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from tests.causal import Function, advanced, network
from torch import Tensor, nn

from ancestral.runtimes.derive import derive
from ancestral.runtimes.naive import NaiveRuntime
from ancestral.runtimes.native.runtime import NativeRuntime
from ancestral.runtimes.reference import ReferenceRuntime

A = [[1.0, 1, 1], [1, 0, 0], [0, 0, 0]]  # a 3×3 mask without the pixel itself
B = [[1.0, 1, 1], [1, 1, 0], [0, 0, 0]]  # and with it

Way = Callable[[Function, Tensor], Tensor]
Layers = dict[str, nn.Module]


def masked(conv: nn.Conv2d, mask: list[list[float]]) -> nn.Conv2d:
    """A convolution whose weights are zero where the mask is, written into the weights."""
    with torch.no_grad():
        conv.weight *= torch.tensor(mask)
    return conv


def unsettled(module: nn.Module) -> nn.Module:
    """Running statistics and affine weights as training leaves them, not as it finds them."""
    for layer in module.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)):
            with torch.no_grad():
                layer.weight.normal_(1, 0.3)
                layer.bias.normal_(0, 0.3)
    return module


def samples_alike(
    way: Way,
    layers: Layers,
    shape: tuple[int, ...],
    *,
    kind: str = "image",
    encoding: str = "signed",
    layout: str = "channels-first",
    sites: int = 21,
    items: int = 2,
) -> str:
    """Derive, check parity, and sample as the naive loop does: its values and its nats.

    Returns the space that the program lives in: grid, flat or elements.
    """
    module = unsettled(Function(way, **layers))
    net = network(module, shape, kind=kind, encoding=encoding, layout=layout)
    program = derive(net)
    sites = net.data.sites() if shape else sites
    slow = advanced(NaiveRuntime(net, items), sites, range(items))
    for runtime in (
        ReferenceRuntime(program, net, 2),
        NativeRuntime(program, net, 2, dtype=torch.float64),
    ):
        fast = advanced(runtime, sites, range(items), staggered=True)
        for item, (values, nats) in slow.items():
            np.testing.assert_array_equal(fast[item][0], values)
            np.testing.assert_allclose(fast[item][1], nats, rtol=1e-6, atol=1e-9)
    return str(program.space)
