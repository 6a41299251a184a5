"""PixelRNN with Row LSTM layers (van den Oord et al. 2016, section 3.1).

A unidirectional layer takes the image row by row, from top to bottom, a whole row at once. The
input-to-state component is a masked k×1 convolution along the row, the state-to-state component one
of k×1 over the row above, unmasked.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ancestral.models.pixel_rnn import InputToState, PixelRNN, cell_step


class RowLSTM(PixelRNN):
    """x [B, in_channels, H, W] -> params [B, out_channels, H, W]; see PixelRNN."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        channels: int,
        hidden: int | None = None,
        kernel: int = 3,
        groups: int = 1,
        **others: object,
    ) -> None:
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, not {kernel}")
        super().__init__(
            lambda size: RowLayer(channels, size, kernel, groups),
            in_channels,
            out_channels,
            channels=channels,
            hidden=hidden,
            groups=groups,
            **others,  # type: ignore[arg-type]
        )


class RowLayer(nn.Module):
    """h [B, channels, H, W] -> states [B, hidden, H, W]."""

    def __init__(self, channels: int, hidden: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.input = InputToState(channels, hidden, kernel, groups)
        self.state = nn.Conv1d(hidden, 4 * hidden, kernel, padding=kernel // 2, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        gates = self.input(h)
        cell = output = torch.zeros_like(gates[:, : self.hidden, 0])
        rows = []
        for row in gates.unbind(2):
            output, cell = cell_step(row + self.state(output), cell)
            rows.append(output)
        return torch.stack(rows, dim=2)
