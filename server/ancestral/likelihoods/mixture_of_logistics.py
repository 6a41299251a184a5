"""Mixture of discretised logistics over the codes of one audio sample.

Parallel WaveNet (van den Oord et al. 2018, section 2.1), after PixelCNN++.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ancestral.likelihoods.base import Mass, Rank, Temperature, check_count, refuse_cuts
from ancestral.likelihoods.logistic import bin_log_prob, deviation, nearest_code
from ancestral.likelihoods.mixture import choose_component, of_component, split

# keeps exp(-log_scale) finite in float32; a component as narrow already holds but one code
_MIN_LOG_SCALE = -32.0


@dataclass(frozen=True)
class MixtureOfLogistics:
    """params [..., C, 3M] are M logits, M means and M log-scales, in [-1, 1] for all the codes.

    Values are codes 0 … levels-1. Temperature divides the logits and multiplies the scales; at 0
    a sample is the code nearest to the mean of the likeliest component.
    """

    components: int
    levels: int

    name: ClassVar[str] = "mixture-of-logistics"
    discrete: ClassVar[bool] = True
    joint: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_count("components", self.components, 1)
        check_count("levels", self.levels, 2)

    @property
    def n_params(self) -> int:
        return 3 * self.components

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        logits, means, log_scales = split(params)
        each = bin_log_prob(x.unsqueeze(-1), means, log_scales.clamp(_MIN_LOG_SCALE), self.levels)
        return (logits.log_softmax(-1) + each).logsumexp(-1)

    def sample(
        self,
        params: Tensor,
        u: Tensor,
        *,
        temperature: Temperature = 1.0,
        top_k: Rank | None = None,
        top_p: Mass | None = None,
    ) -> Tensor:
        refuse_cuts(self.name, top_k, top_p)
        logits, means, log_scales = split(params)
        chosen = choose_component(logits, u[..., 0], temperature)
        mean = of_component(means, chosen)
        log_scale = of_component(log_scales, chosen).clamp(_MIN_LOG_SCALE)
        value = mean.double() + deviation(log_scale, u[..., 1], temperature)
        return nearest_code(value, self.levels)
