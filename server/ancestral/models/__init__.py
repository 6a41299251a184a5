"""Model families: textbook forward passes, and nothing else. How they are sampled is derived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import nn

from ancestral.likelihoods.base import Likelihood
from ancestral.models.causal_conv import CausalConv
from ancestral.models.char_rnn import CharRNN
from ancestral.models.data import ConditionSpec, DataSpec
from ancestral.models.diagonal_bilstm import DiagonalBiLSTM
from ancestral.models.distaug import DistAug
from ancestral.models.fvsbn import FVSBN
from ancestral.models.gated_pixelcnn import GatedPixelCNN
from ancestral.models.image_gpt import ImageGPT
from ancestral.models.image_transformer import ImageTransformer
from ancestral.models.lmconv import LMConv
from ancestral.models.made import MADE
from ancestral.models.nade import NADE, RNADE
from ancestral.models.network import Encoding, Network, ParamsLayout
from ancestral.models.pixelcnn import PixelCNN
from ancestral.models.pixelcnn_pp import PixelCNNPP
from ancestral.models.pixelsnail import PixelSNAIL
from ancestral.models.row_lstm import RowLSTM
from ancestral.models.sparse_transformer import SparseTransformer
from ancestral.models.wavenet import WaveNet
from ancestral.models.wavernn import WaveRNN

__all__ = ["FAMILIES", "ConditionSpec", "DataSpec", "Network", "build", "layout"]


class Family(Protocol):
    """A module class and what a Network of it needs to know."""

    reads: Encoding  # the usual encoding of codes
    answers: ParamsLayout

    def for_data(
        self,
        data: DataSpec,
        likelihood: Likelihood,
        conditions: Sequence[ConditionSpec],
        encoding: str,
        **hyperparameters: Any,
    ) -> nn.Module:
        """The module for that data. Raises ValueError for data that the family cannot model."""
        ...


FAMILIES: dict[str, Family] = {
    "causal-conv": CausalConv,
    "char-rnn": CharRNN,
    "diagonal-bilstm": DiagonalBiLSTM,
    "distaug": DistAug,
    "fvsbn": FVSBN,
    "gated-pixelcnn": GatedPixelCNN,
    "image-gpt": ImageGPT,
    "image-transformer": ImageTransformer,
    "lmconv": LMConv,
    "made": MADE,
    "nade": NADE,
    "pixelcnn": PixelCNN,
    "pixelcnn-pp": PixelCNNPP,
    "pixelsnail": PixelSNAIL,
    "rnade": RNADE,
    "row-lstm": RowLSTM,
    "sparse-transformer": SparseTransformer,
    "wavenet": WaveNet,
    "wavernn": WaveRNN,
}


def layout(family: str) -> tuple[Encoding, ParamsLayout]:
    """The encoding a family usually reads, and the layout it always answers in."""
    return FAMILIES[family].reads, FAMILIES[family].answers


def build(
    family: str,
    hyperparameters: Mapping[str, Any],
    data: DataSpec,
    likelihood: Likelihood,
    conditions: Sequence[ConditionSpec] = (),
    *,
    encoding: Encoding | None = None,
    params_layout: ParamsLayout | None = None,
) -> Network:
    """A network of that family with random weights.

    Raises KeyError for an unknown family, TypeError for unknown hyper-parameters, ValueError for
    values that do not fit together.
    """
    usual, answers = layout(family)
    chosen = encoding or usual
    if (params_layout or answers) != answers:
        raise ValueError(f"{family} answers {answers}, not {params_layout}")
    module = FAMILIES[family].for_data(data, likelihood, conditions, chosen, **hyperparameters)
    return Network(module, data, chosen, answers, likelihood)
