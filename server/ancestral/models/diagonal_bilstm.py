"""PixelRNN with Diagonal BiLSTM layers (van den Oord et al. 2016, section 3.2).

Each direction takes the image along its diagonals. The rows are skewed, each by one position
against the row above (figure 3), so that a diagonal becomes a column; the state-to-state component
is then a convolution of kernel 2×1 over the column before. The direction from the right is skewed
in mirror image, and its output shifted one row down so that it has not seen the future.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.models.pixel_rnn import InputToState, PixelRNN, cell_step


class DiagonalBiLSTM(PixelRNN):
    """x [B, in_channels, H, W] -> params [B, out_channels, H, W]; see PixelRNN.

    With `state_bias` the state-to-state convolution has a bias of its own. States left of the image
    are then not zero but what the bias makes of them, as in implementations that run the LSTM over
    the zeros that skewing leaves.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        channels: int,
        hidden: int | None = None,
        state_bias: bool = False,
        groups: int = 1,
        **others: object,
    ) -> None:
        super().__init__(
            lambda size: DiagonalLayer(channels, size, state_bias, groups),
            in_channels,
            out_channels,
            channels=channels,
            hidden=hidden,
            groups=groups,
            **others,  # type: ignore[arg-type]
        )


class DiagonalLayer(nn.Module):
    """h [B, channels, H, W] -> states [B, hidden, H, W]: the sum of both directions."""

    def __init__(self, channels: int, hidden: int, state_bias: bool, groups: int) -> None:
        super().__init__()
        self.left = Diagonal(channels, hidden, state_bias, groups)
        self.right = Diagonal(channels, hidden, state_bias, groups)

    def forward(self, h: Tensor) -> Tensor:
        from_left: Tensor = self.left(h)
        from_right = self.right(h.flip(3)).flip(3)
        return from_left + F.pad(from_right, (0, 0, 1, 0))[:, :, :-1]


class Diagonal(nn.Module):
    """One direction, from the upper left corner: h [B, channels, H, W] -> [B, hidden, H, W]."""

    def __init__(self, channels: int, hidden: int, state_bias: bool, groups: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.input = InputToState(channels, hidden, 1, groups)
        self.state = nn.Conv1d(hidden, 4 * hidden, 2, bias=state_bias)

    def forward(self, h: Tensor) -> Tensor:
        gates = skew(self.input(h))
        cell = output = torch.zeros_like(gates[:, : self.hidden, :, 0])
        columns = []
        for column in gates.unbind(3):
            output, cell = cell_step(column + self.state(F.pad(output, (1, 0))), cell)
            columns.append(output)
        return unskew(torch.stack(columns, dim=3))


def skew(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, C, H, W + H − 1], row i moved i positions to the right, zeros around."""
    height, width = x.shape[2:]
    long = F.pad(x, (0, height)).flatten(2)[..., :-height]
    return long.reshape(*x.shape[:2], height, width + height - 1)


def unskew(x: Tensor) -> Tensor:
    """The inverse of `skew`: [B, C, H, W + H − 1] -> [B, C, H, W]."""
    height, length = x.shape[2:]
    long = F.pad(x.flatten(2), (0, height))
    return long.reshape(*x.shape[:2], height, length + 1)[..., : length + 1 - height]
