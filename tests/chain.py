"""A network small enough to enumerate: every dimension is Bernoulli with a linear logit."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ancestral.likelihoods import Bernoulli
from ancestral.models.data import ConditionSpec, DataSpec
from ancestral.models.network import Network

CLASSES = 3


class LinearChain(nn.Module):
    """logit[i] = bias[label, i] + sum over j earlier than i of weight[i, j] x[j].

    `order` lists the positions in the order of generation. Images count (row, column, channel).
    """

    def __init__(self, dims: int, order: npt.NDArray[np.int64], image: bool) -> None:
        super().__init__()
        generator = np.random.default_rng(7)
        rank = np.argsort(order)
        earlier = rank[None, :] < rank[:, None]
        weight = generator.normal(0, 2, (dims, dims)) * earlier
        self.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float32))
        bias = generator.normal(0, 1, (CLASSES, dims))
        self.bias = nn.Parameter(torch.tensor(bias, dtype=torch.float32))
        self.image = image

    def forward(self, x: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
        flat = x.permute(0, 2, 3, 1).flatten(1) if self.image else x
        bias = self.bias[0] if label is None else self.bias[label]
        logits = flat @ self.weight.T + bias
        if not self.image:
            return logits[..., None]  # [B, N, 1]
        channels, height, width = x.shape[1:]
        return logits.reshape(-1, height, width, channels).permute(0, 3, 1, 2)

    def log_prob(self, x: npt.NDArray[np.int64], label: int = 0) -> npt.NDArray[np.float64]:
        """The closed form in numpy, [N] nats of a flat item."""
        weight, bias = self.weight.detach().numpy(), self.bias.detach().numpy()
        logits = weight.astype(np.float64) @ x + bias[label].astype(np.float64)
        nats: npt.NDArray[np.float64] = -np.logaddexp(0, np.where(x == 1, -logits, logits))
        return nats


LABEL = ConditionSpec(name="label", kind="label", classes=CLASSES, prior=(0.5, 0.25, 0.25))


def vector_chain(dims: int = 4, order: npt.NDArray[np.int64] | None = None) -> Network:
    """A vector of `dims` bits."""
    data = DataSpec(kind="vector", shape=(dims,), levels=2)
    module = LinearChain(dims, np.arange(dims) if order is None else order, image=False)
    return Network(
        module, data, encoding="unit", params_layout="channels-last", likelihood=Bernoulli()
    )


def image_chain(channels: int = 2, height: int = 1, width: int = 2) -> Network:
    """An image whose channels depend on one another within a pixel."""
    data = DataSpec(kind="image", shape=(channels, height, width), levels=2)
    dims = channels * height * width
    module = LinearChain(dims, np.arange(dims), image=True)
    return Network(
        module, data, encoding="unit", params_layout="channels-first", likelihood=Bernoulli()
    )


def all_items(dims: int) -> npt.NDArray[np.int64]:
    """Every binary item, [2**dims, dims]."""
    return np.array(list(itertools.product((0, 1), repeat=dims)), dtype=np.int64)
