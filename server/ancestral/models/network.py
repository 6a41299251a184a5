"""Codes in, parameters out: what lies between a family's module and everyone who calls it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Literal, Self, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.likelihoods.base import Likelihood
from ancestral.models.data import DataSpec
from ancestral.models.orders import Member, Order
from ancestral.models.precision import Constants

Encoding = Literal["int", "unit", "signed", "one-hot", "bits"]
ParamsLayout = Literal["channels-first", "channels-last"]


class Network(nn.Module):
    """codes [B, …], conditions -> params [B, *grid, D, P].

    `grid` is (H, W), (T,) or (N,). D counts the parameter vectors of a site: its dimensions, or 1
    under a joint likelihood. Encodings of codes with L levels: int as they are; unit x/(L-1);
    signed 2x/(L-1)-1; one-hot with the levels as channels; bits with the binary digits as channels,
    the highest first. Real values pass as they are.
    The module answers `channels-first` [B, D·P, *grid] or `channels-last` [B, (grid), D·P], with
    the parameters of one dimension side by side.

    A module with several `orders` is an ensemble: an item's likelihood is the mean of those under
    each order, `for_order` is the network under one of them, and `forward` that under the first.
    """

    def __init__(
        self,
        module: nn.Module,
        data: DataSpec,
        encoding: Encoding,
        params_layout: ParamsLayout,
        likelihood: Likelihood,
    ) -> None:
        super().__init__()
        if encoding not in get_args(Encoding):
            raise ValueError(f"unknown encoding {encoding!r}")
        if params_layout not in get_args(ParamsLayout):
            raise ValueError(f"unknown params_layout {params_layout!r}")
        if likelihood.discrete != (data.levels is not None):
            wanted = "discrete" if likelihood.discrete else "real-valued"
            raise ValueError(f"a {likelihood.name} likelihood is for {wanted} data")
        self.module = module
        self.data = data
        self.encoding = encoding
        self.params_layout = params_layout
        self.likelihood = likelihood
        self.longest: int | None = None  # sites of an item of open length, where there is a limit

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights."""
        return next(self.module.parameters()).dtype

    @property
    def structure(self) -> str:
        """What the values depend on beside the weights and the code of the family: nothing."""
        return ""

    @property
    def layers(self) -> Sequence[nn.Module]:
        """Layers whose hidden states [B, positions, width] represent an item.

        A family that has them names their list in `represents`; none where it does not.
        """
        name = getattr(self.module, "represents", None)
        return () if name is None else tuple(getattr(self.module, name))

    @property
    def vectors_per_site(self) -> int:
        """D: parameter vectors of one site."""
        return 1 if self.likelihood.joint else self.data.dims_per_site

    @property
    def orders(self) -> Mapping[str, Order]:
        """The orders of an ensemble by name, rank -> position; empty where there is one order."""
        return getattr(self.module, "orders", {})

    def for_order(self, name: str) -> Self:
        """The network under one of its orders; the weights are shared. Raises KeyError."""
        if name not in self.orders:
            raise KeyError(name)
        module = Member(self.module, name)
        return type(self)(module, self.data, self.encoding, self.params_layout, self.likelihood)

    def forward(self, codes: Tensor, *conditions: Tensor) -> Tensor:
        dtype = self.dtype
        exact = dtype is not torch.get_default_dtype()
        with Constants(dtype) if exact else nullcontext():
            raw = self.module(self.encode(codes), *conditions)
        return self.arrange(raw, codes)

    def encode(self, codes: Tensor) -> Tensor:
        """Codes as the module reads them."""
        spread = self.spread(codes)
        if spread.dim() == codes.dim():
            return spread
        if self.data.kind == "image":  # [B, C, H, W, K] -> [B, C·K, H, W]
            return spread.permute(0, 1, 4, 2, 3).flatten(1, 2)
        return spread.transpose(1, 2)

    def spread(self, codes: Tensor) -> Tensor:
        """Codes in their encoding: of the same shape, or with an axis of levels or bits behind."""
        levels = self.data.levels
        if levels is None or self.encoding == "int":
            return codes
        dtype = self.dtype
        if self.encoding == "one-hot":
            return F.one_hot(codes, levels).to(dtype)
        if self.encoding == "bits":
            places = [2**bit for bit in reversed(range((levels - 1).bit_length()))]
            table = torch.arange(levels, device=codes.device)[:, None]
            table = table // torch.tensor(places, device=codes.device) % 2
            return F.embedding(codes, table.to(dtype))
        unit = codes.to(dtype) / (levels - 1)
        return unit if self.encoding == "unit" else 2 * unit - 1

    def arrange(self, raw: Tensor, codes: Tensor) -> Tensor:
        """The module's output as params [B, *grid, D, P]."""
        image = self.data.kind == "image"
        grid = codes.shape[2:] if image else codes.shape[1:]
        vectors, size = self.vectors_per_site, self.likelihood.n_params
        if self.params_layout == "channels-last":
            return raw.reshape(codes.shape[0], *grid, vectors, size)
        split = raw.reshape(codes.shape[0], vectors, size, *grid)
        axes = range(3, 3 + len(grid))
        return split.permute(0, *axes, 1, 2)

    def nats_per_item(self, codes: Tensor, *conditions: Tensor) -> Tensor:
        """log p(codes | conditions) in nats, [B]; in the network's own precision, for training."""
        if self.orders:
            members = [self.for_order(name) for name in self.orders]
            nats = torch.stack([member.nats_per_item(codes, *conditions) for member in members])
            return nats.logsumexp(0) - math.log(len(members))
        params = self.forward(codes, *conditions).float()
        values = self.data.to_sites(codes)
        flat = params.reshape(*values.shape[:2], *params.shape[-2:])
        return self.likelihood.log_prob(flat, values).flatten(1).sum(1)


def bits_per_dim(nats: float, dimensions: int) -> float:
    """The negative log-likelihood of an item in bits per dimension."""
    return -nats / (dimensions * math.log(2))
