"""Character-level recurrent networks (Graves 2013, "Generating Sequences With Recurrent Neural
Networks"; Karpathy 2015, char-rnn).

An embedding, a stack of recurrent layers (equations 1 to 3 of Graves; LSTM: equations 7 to 11) and
a softmax over the alphabet. The state after a character predicts the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.likelihoods.base import Likelihood
from ancestral.models.data import ConditionSpec, DataSpec
from ancestral.models.network import Encoding, ParamsLayout

CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class CharRNN(nn.Module):
    """x [B, T] codes -> params [B, T, out_channels].

    Params at t follow from the state after character t − 1, those at 0 from a state of zeros.
    `embedding` defaults to `width`; `dropout` acts between layers while training.
    """

    reads: ClassVar[Encoding] = "int"
    answers: ClassVar[ParamsLayout] = "channels-last"

    def __init__(
        self,
        levels: int,
        out_channels: int,
        *,
        cell: Literal["rnn", "gru", "lstm"] = "lstm",
        width: int,
        layers: int = 1,
        embedding: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if cell not in CELLS:
            raise ValueError(f"unknown cell {cell!r}; known: {', '.join(CELLS)}")
        self.embedding = nn.Embedding(levels, embedding or width)
        self.layers = CELLS[cell](
            embedding or width, width, layers, batch_first=True, dropout=dropout
        )
        self.output = nn.Linear(width, out_channels)

    @classmethod
    def for_data(
        cls,
        data: DataSpec,
        likelihood: Likelihood,
        conditions: Sequence[ConditionSpec],
        encoding: str,
        **hyperparameters: object,
    ) -> Self:
        """The module for that data, of any alphabet."""
        if data.kind not in ("sequence", "audio", "vector") or data.levels is None:
            raise ValueError("char-rnn models sequences of codes")
        if conditions:
            raise ValueError("char-rnn takes no conditions")
        if encoding != "int":
            raise ValueError("char-rnn embeds codes itself: the encoding is int")
        return cls(data.levels, likelihood.n_params, **hyperparameters)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.layers(self.embedding(x))
        return self.output(F.pad(states, (0, 0, 1, 0))[:, :-1])  # type: ignore[no-any-return]
