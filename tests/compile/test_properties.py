"""Random small networks: the compiler's verdict is the Jacobian's, and what it accepts is right."""

from __future__ import annotations

from dataclasses import dataclass

import hypothesis.strategies as st
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, Phase, example, given, settings
from tests.causal import network
from torch import Tensor, nn

from ancestral.compile import CausalityError
from ancestral.runtimes.derive import derive

# shrinking costs minutes: every example captures and compiles a network
SEARCH = settings(
    max_examples=25,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
H, W, T = 5, 6, 24
WIDTH = 4


@dataclass(frozen=True)
class Layer:
    """One step of a random network; `taps` are where the kernel is not zero."""

    kind: str
    taps: tuple[tuple[int, int], ...] = ()
    dilation: int = 1


class RandomNetwork(nn.Module):
    """A first convolution over the taps given, then layers over the features so far."""

    def __init__(self, first: tuple[tuple[int, int], ...], layers: list[Layer], time: bool) -> None:
        super().__init__()
        torch.manual_seed(len(layers))
        self.time = time
        self.first = TapConv(1, WIDTH, first, 1, time)
        self.plan = layers
        self.layers = nn.ModuleList(
            TapConv(WIDTH, WIDTH, layer.taps or ((0, 0),), layer.dilation, time) for layer in layers
        )
        self.norm = nn.LayerNorm(WIDTH)
        self.out = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.first(x.unsqueeze(1) if self.time else x))
        before = h
        for layer, conv in zip(self.plan, self.layers, strict=True):
            if layer.kind == "conv":
                before, h = h, torch.tanh(conv(h))
            elif layer.kind == "residual":
                before, h = h, h + torch.sigmoid(conv(h))
            elif layer.kind == "gate":
                a, b = conv(h).chunk(2, 1)
                before, h = h, torch.cat([torch.tanh(a) * torch.sigmoid(b), b], 1)
            elif layer.kind == "join":
                before, h = h, torch.cat([h[:, WIDTH // 2 :], before[:, : WIDTH // 2]], 1)
            elif layer.kind == "norm":
                h = self.norm(h.movedim(1, -1)).movedim(-1, 1)
        return self.out(h.movedim(1, -1)).movedim(-1, 1)


class TapConv(nn.Module):
    """A convolution with padding whose kernel is non-zero at the taps (row, column) only."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        taps: tuple[tuple[int, int], ...],
        dilation: int,
        time: bool,
    ) -> None:
        super().__init__()
        reach = 2
        size = 2 * reach + 1
        shape = (1, size) if time else (size, size)
        self.time, self.dilation, self.margin = time, dilation, reach * dilation
        mask = torch.zeros(shape)
        for row, col in taps:
            mask[0 if time else row + reach, col + reach] = 1
        kernel = torch.randn(outputs, inputs, *shape) * mask
        self.weight = nn.Parameter(kernel[:, :, 0] if time else kernel)
        self.bias = nn.Parameter(torch.randn(outputs))

    def forward(self, x: Tensor) -> Tensor:
        if self.time:
            padded = F.pad(x, (self.margin, self.margin))
            return F.conv1d(padded, self.weight, self.bias, dilation=self.dilation)
        return F.conv2d(x, self.weight, self.bias, padding=self.margin, dilation=self.dilation)


def taps(time: bool, strict: bool, leaky: bool) -> st.SearchStrategy[tuple[tuple[int, int], ...]]:
    """Taps of the past: strictly before the site, up to it, or anywhere around it."""
    rows = [0] if time else [-2, -1, 0, 1]
    around = [(r, c) for r in rows for c in (-2, -1, 0, 1)]
    past = [t for t in around if t < (0, 0) or (t == (0, 0) and not strict)]
    chosen = st.lists(
        st.sampled_from(around if leaky else past), min_size=1, max_size=4, unique=True
    )
    return chosen.map(tuple)


def layers(time: bool, leaky: bool) -> st.SearchStrategy[list[Layer]]:
    return st.lists(
        st.builds(
            Layer,
            st.sampled_from(["conv", "residual", "gate", "join", "norm"]),
            taps(time, False, leaky),
            st.integers(1, 2),
        ),
        max_size=4,
    )


def leaks(module: nn.Module, shape: tuple[int, ...]) -> bool:
    """Whether any output moves with its own or a later input, by the Jacobian in float64."""
    module = module.double()
    x = torch.randn(1, *shape, dtype=torch.float64, requires_grad=True)
    out = module(x)[0].sum(0).flatten()
    for site, value in enumerate(out):
        (gradient,) = torch.autograd.grad(value, x, retain_graph=True)
        if bool((gradient.flatten()[site:] != 0).any()):
            return True
    return False


@SEARCH
@given(first=taps(False, True, False), stack=layers(False, False))
def test_random_image_networks_step_as_they_run(
    first: tuple[tuple[int, int], ...], stack: list[Layer]
) -> None:
    derive(network(RandomNetwork(first, stack, False), (1, H, W)))  # raises unless parity holds


@SEARCH
@example(  # half of the first gate's result is never read
    ((0, -1),), [Layer("gate", ((0, -2),), 2), Layer("gate", ((0, -1),), 2), Layer("join")]
)
@given(first=taps(True, True, False), stack=layers(True, False))
def test_random_networks_over_time_step_as_they_run(
    first: tuple[tuple[int, int], ...], stack: list[Layer]
) -> None:
    derive(network(RandomNetwork(first, stack, True), kind="audio"))


@SEARCH
@given(first=taps(False, False, True), stack=layers(False, True))
def test_the_verdict_on_image_networks_is_the_jacobians(
    first: tuple[tuple[int, int], ...], stack: list[Layer]
) -> None:
    module = RandomNetwork(first, stack, False)
    assert refused(module, (1, H, W), "image") == leaks(module, (1, H, W))


@SEARCH
@given(first=taps(True, False, True), stack=layers(True, True))
def test_the_verdict_on_networks_over_time_is_the_jacobians(
    first: tuple[tuple[int, int], ...], stack: list[Layer]
) -> None:
    module = RandomNetwork(first, stack, True)
    assert refused(module, (), "audio") == leaks(module, (T,))


def refused(module: nn.Module, shape: tuple[int, ...], kind: str) -> bool:
    try:
        derive(network(module, shape, kind=kind))
    except CausalityError:
        return True
    return False
