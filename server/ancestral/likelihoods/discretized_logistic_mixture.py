"""The discretised logistic mixture of PixelCNN++ (Salimans et al. 2017, section 2.1 and 2.2).

One mixture describes a pixel: a component is chosen once, and within it the mean of green follows
red, and that of blue red and green, linearly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ancestral.likelihoods.base import Mass, Rank, Temperature, check_count, refuse_cuts
from ancestral.likelihoods.logistic import bin_log_prob, deviation, nearest_code, to_signed
from ancestral.likelihoods.mixture import choose_component

_MIN_LOG_SCALE = -7.0
_COUPLINGS = ((), ((0, 0),), ((1, 0), (2, 1)))  # of a channel: (coefficient, earlier channel)


@dataclass(frozen=True)
class DiscretizedLogisticMixture:
    """params [..., 1, P] in the order of PixelCNN++'s published code, in [-1, 1] for all codes.

    M logits; then, of 3 channels, per channel M means, M log-scales (no less than -7) and M
    coefficients (through tanh: green on red, blue on red, blue on green), P = 10M; of 1 channel
    M means and M log-scales, P = 3M. Far bins are integrated, not approximated by the density.

    Temperature divides the logits and multiplies the scales; at 0 a sample has, channel by
    channel, the code nearest to the mean of the likeliest component.
    """

    components: int
    channels: int
    levels: int

    name: ClassVar[str] = "discretized-logistic-mixture"
    discrete: ClassVar[bool] = True
    joint: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count("components", self.components, 1)
        check_count("levels", self.levels, 2)
        if self.channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3, not {self.channels}")

    @property
    def n_params(self) -> int:
        return (10 if self.channels == 3 else 3) * self.components

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """[..., C] nats: log p(x_c | x_1 … x_c-1), the component summed out."""
        logits, means, log_scales, coefficients = _split(params, self.channels)
        points = to_signed(x, self.levels, params.dtype).unsqueeze(-1)
        moved = [
            _mean(channel, means, coefficients, points.unbind(-2))
            for channel in range(self.channels)
        ]
        each = bin_log_prob(x.unsqueeze(-1), torch.stack(moved, -2), log_scales, self.levels)
        # log p(x_1 … x_c, component), [..., C, M]
        so_far = logits.log_softmax(-1).unsqueeze(-2) + each.cumsum(-2)
        total = so_far.logsumexp(-1)
        return torch.cat((total[..., :1], total.diff(dim=-1)), -1)

    def sample(
        self,
        params: Tensor,
        u: Tensor,
        *,
        temperature: Temperature = 1.0,
        top_k: Rank | None = None,
        top_p: Mass | None = None,
    ) -> Tensor:
        """Codes [..., C]: the component from u[..., 0, 0], channel c from u[..., c, 1]."""
        refuse_cuts(self.name, top_k, top_p)
        logits = params[..., 0, : self.components]
        once = each = temperature
        if isinstance(temperature, Tensor):
            once, each = temperature[..., 0], temperature.unsqueeze(-1)
        component = choose_component(logits, u[..., 0, 0], once)  # [..., 1]
        # the chosen component's vector, as of a mixture of one
        one = params.reshape(*params.shape[:-2], -1, self.components)
        one = one.gather(-1, component.unsqueeze(-2).expand(*one.shape[:-1], 1)).mT
        _, means, log_scales, coefficients = _split(one, self.channels)
        away = deviation(log_scales, u[..., 1:], each)  # [..., C, 1]
        codes: list[Tensor] = []
        points: list[Tensor] = []
        for channel in range(self.channels):
            mean = _mean(channel, means, coefficients, points)
            codes.append(nearest_code(mean.double() + away[..., channel, :], self.levels))
            points.append(to_signed(codes[-1], self.levels, params.dtype))
        return torch.cat(codes, -1)


def _split(params: Tensor, channels: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """[..., 1, P] as logits [..., M], and means, log-scales and coefficients [..., C, M]."""
    vector = params.squeeze(-2)
    vector = vector.reshape(*vector.shape[:-1], 10 if channels == 3 else 3, -1)
    logits, each = vector[..., 0, :], vector[..., 1:, :]
    each = each.reshape(*each.shape[:-2], channels, -1, each.shape[-1])
    means, log_scales = each[..., 0, :], each[..., 1, :].clamp(_MIN_LOG_SCALE)
    coefficients = each[..., 2:, :].sum(-2).tanh()  # of one channel there are none: zero
    return logits, means, log_scales, coefficients


def _mean(
    channel: int, means: Tensor, coefficients: Tensor, points: list[Tensor] | tuple[Tensor, ...]
) -> Tensor:
    """The means [..., M] of a channel, moved by the channels [..., 1] before it."""
    mean = means[..., channel, :]
    for coefficient, earlier in _COUPLINGS[channel]:
        mean = mean + coefficients[..., coefficient, :] * points[earlier]
    return mean
