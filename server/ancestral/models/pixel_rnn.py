"""What the two PixelRNNs share (van den Oord et al. 2016, "Pixel Recurrent Neural Networks").

A masked convolution (mask A, section 3.4), layers of two-dimensional LSTMs with residual
connections (section 3.3, figure 5 right), and 1×1 convolutions of mask B up to the parameters
(table 1). The layers are those of `row_lstm` and `diagonal_bilstm`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.likelihoods.base import Likelihood
from ancestral.models.data import ConditionSpec, DataSpec
from ancestral.models.gated_pixelcnn import HorizontalConv, PixelConv, group_mask
from ancestral.models.network import Encoding, ParamsLayout

FORGET = 1.0  # initial bias of the forget gates: states last from the start


class PixelRNN(nn.Module):
    """x [B, in_channels, H, W] -> params [B, out_channels, H, W].

    `channels` are those of the residual stream (2h in the paper), `hidden` those of the LSTMs (h);
    without `hidden` a layer's output is added as it is, else through a 1×1 convolution. `groups`
    > 1 orders the channels of a pixel. `final` are widths of 1×1 layers before the output; a ReLU
    stands before each of them and the output, but before the first only if `activate_first`.
    """

    reads: ClassVar[Encoding] = "signed"
    answers: ClassVar[ParamsLayout] = "channels-first"

    def __init__(
        self,
        layer: Callable[[int], nn.Module],
        in_channels: int,
        out_channels: int,
        *,
        channels: int,
        layers: int,
        hidden: int | None = None,
        first_kernel: int = 7,
        final: Sequence[int] = (),
        activate_first: bool = True,
        groups: int = 1,
    ) -> None:
        super().__init__()
        if first_kernel < 1 or first_kernel % 2 == 0:
            raise ValueError(f"first_kernel must be odd, not {first_kernel}")
        widths = [channels, *final, out_channels]
        if any(width % groups for width in [in_channels, hidden or channels, *widths]):
            raise ValueError(f"channels {[in_channels, *widths]} must be multiples of {groups}")
        self.activate_first = activate_first
        self.first = FirstConv(in_channels, channels, first_kernel, groups)
        self.layers = nn.ModuleList(layer(hidden or channels) for _ in range(layers))
        self.expand = nn.ModuleList(
            PixelConv(size, channels, groups) for size in [hidden] * layers if size is not None
        )
        self.final = nn.ModuleList(PixelConv(a, b, groups) for a, b in pairwise(widths))

    @classmethod
    def for_data(
        cls,
        data: DataSpec,
        likelihood: Likelihood,
        conditions: Sequence[ConditionSpec],
        encoding: str,
        **hyperparameters: object,
    ) -> Self:
        """The module for that data; its channels are ordered unless the likelihood is joint."""
        if data.kind != "image":
            raise ValueError(f"PixelRNNs model images, not {data.kind} data")
        if conditions:
            raise ValueError("PixelRNNs take no conditions")
        colours = data.shape[0]
        return cls(
            colours * (data.levels or 1) if encoding == "one-hot" else colours,  # type: ignore[arg-type]
            (1 if likelihood.joint else colours) * likelihood.n_params,
            groups=1 if likelihood.joint else colours,
            **hyperparameters,  # type: ignore[arg-type]
        )

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.first(x)
        for number, layer in enumerate(self.layers):
            state = layer(h)
            h = h + (self.expand[number](state) if self.expand else state)
        for number, conv in enumerate(self.final):
            h = conv(F.relu(h) if number or self.activate_first else h)
        return h


class FirstConv(nn.Conv2d):
    """Mask A: sees the rows above, the pixels to the left and the channel groups before its own."""

    mask: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel: int, groups: int) -> None:
        super().__init__(in_channels, out_channels, kernel, padding=kernel // 2)
        half = kernel // 2
        mask = torch.zeros(self.weight.shape)
        mask[:, :, :half] = 1
        mask[:, :, half, :half] = 1
        mask[:, :, half, half] = group_mask(in_channels, out_channels, 1, groups, False)[..., 0]
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


class InputToState(HorizontalConv):
    """Gates [B, 4·hidden, H, W] from what may be seen of the row so far (mask B): o, f, i, g."""

    def __init__(self, channels: int, hidden: int, kernel: int, groups: int) -> None:
        super().__init__(channels, 4 * hidden, kernel, parts=4, groups=groups)
        assert self.bias is not None
        nn.init.constant_(self.bias[hidden : 2 * hidden], FORGET)


def cell_step(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Equation 3: gates [B, 4·hidden, N] and cell [B, hidden, N] -> output and cell."""
    hidden = cell.shape[1]
    o, f, i = torch.sigmoid(gates[:, : 3 * hidden]).chunk(3, dim=1)
    cell = f * cell + i * torch.tanh(gates[:, 3 * hidden :])
    return o * torch.tanh(cell), cell
