"""What a parameter vector means: a distribution to score under and to sample from."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

Temperature = float | Tensor  # for all, or [..., 1]: each item's own
Rank = int | Tensor
Mass = float | Tensor


@runtime_checkable
class Likelihood(Protocol):
    """A family of distributions of one site's dimensions, as functions of tensors.

    Leading axes are arbitrary. D is the number of parameter vectors of a site: C, or 1 where the
    distribution is `joint` over its C dimensions.
    """

    @property
    def name(self) -> str: ...

    @property
    def discrete(self) -> bool:
        """Values are int64 codes, and log_prob a probability; else floats, and a density."""
        ...

    @property
    def joint(self) -> bool:
        """One parameter vector describes all dimensions of a site together."""
        ...

    @property
    def n_params(self) -> int:
        """P, the length of a parameter vector."""
        ...

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """params [..., D, P], values x [..., C] -> nats [..., C], each given those before it."""
        ...

    def sample(
        self,
        params: Tensor,
        u: Tensor,
        *,
        temperature: Temperature = 1.0,
        top_k: Rank | None = None,
        top_p: Mass | None = None,
    ) -> Tensor:
        """Values [..., C] by inverse CDF of uniforms u [..., C, 2] in (0, 1).

        u[..., 0] chooses the category or the component, u[..., 1] the value. Each kind documents
        what temperature means; 0 is the mode, or the mean of the likeliest component. `top_k` and
        `top_p` cut discrete distributions. Each may be a tensor [..., 1], items with their own: of
        cuts, the number of categories and 2 then cut nothing. Raises ValueError where a kind has no
        such cut.
        """
        ...


def refuse_cuts(name: str, top_k: Rank | None, top_p: Mass | None) -> None:
    """Raise ValueError when a cut is asked of a likelihood that has no ranked categories."""
    for cut, value in (("top_k", top_k), ("top_p", top_p)):
        if value is not None:
            raise ValueError(f"{cut} does not apply to a {name} likelihood")


def check_count(field: str, value: int, least: int) -> None:
    """Raise ValueError where a manifest's number is no integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{field} must be an integer of at least {least}, not {value!r}")
