"""People write the same thing in many ways: networks over time, of any length."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from tests.causal import Function
from tests.ways import Layers, Way, samples_alike
from torch import Tensor, nn


def past(m: Function, x: Tensor) -> Tensor:
    """Codes embedded and shifted by one, channels first [B, 6, T]."""
    return F.pad(m.token(x).mT, (1, 0))[..., :-1]


def batch_norm(m: Function, x: Tensor) -> Tensor:
    return m.out(F.relu(m.norm(m.one(F.pad(past(m, x), (2, 0))))))


def group_norm_of_each_step(m: Function, x: Tensor) -> Tensor:
    h = m.one(F.pad(past(m, x), (2, 0))).mT
    return m.out(m.groups(h.flatten(0, 1)).view(h.shape).mT)


def gated_by_glu(m: Function, x: Tensor) -> Tensor:
    h = past(m, x)
    return m.out(h + F.glu(m.two(F.pad(h, (2, 0))), dim=1))


def einsum_over_channels(m: Function, x: Tensor) -> Tensor:
    h = torch.einsum("bct,oc->bto", past(m, x), m.point.weight[:, :, 0])
    return m.out(torch.tanh(h + m.point.bias).mT)


def einsum_of_taps(m: Function, x: Tensor) -> Tensor:
    """A convolution as a stack of shifts contracted with its kernel."""
    h = past(m, x)
    taps = torch.stack([F.pad(h, (2 - k, 0))[..., : h.shape[-1]] for k in range(3)], -1)
    return m.out(F.relu(torch.einsum("bctk,ock->bot", taps, m.one.weight)))


def einsum_attention(m: Function, x: Tensor) -> Tensor:
    h = past(m, x).mT
    q, k, v = (torch.einsum("btc,nco->bnto", h, w) for w in m.heads.weight.view(3, 2, 6, 3))
    scores = torch.einsum("bnqo,bnko->bnqk", q, k) / math.sqrt(3)
    future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
    weights = scores.masked_fill(future, -math.inf).softmax(-1)
    mixed = torch.einsum("bnqk,bnko->bqno", weights, v).flatten(2)
    return m.out((h + mixed).mT)


def mask_by_multiplication_and_large_negative(m: Function, x: Tensor) -> Tensor:
    h = past(m, x).mT
    q, k, v = m.qkv(h).chunk(3, -1)
    keep = torch.ones(x.shape[1], x.shape[1]).to(q.dtype).tril()
    scores = torch.baddbmm(-1e9 * (1 - keep)[None], q, k.mT, alpha=0.4)
    return m.out((h + scores.softmax(-1) @ v).mT)


def running_mean(m: Function, x: Tensor) -> Tensor:
    h = past(m, x)
    count = torch.arange(1, x.shape[1] + 1, dtype=h.dtype)
    return m.out(torch.cat([h, h.cumsum(-1) / count], 1)[:, 3:9])


def lstm_module(m: Function, x: Tensor) -> Tensor:
    return m.out(m.lstm(past(m, x).mT)[0].mT)


def gru_module(m: Function, x: Tensor) -> Tensor:
    return m.out(m.gru(past(m, x).mT)[0].mT)


def selection_of_channels(m: Function, x: Tensor) -> Tensor:
    """Payload re-ordered by indices, a flip, a roll, a gather of constants and tiles."""
    h = past(m, x)
    h = h.index_select(1, torch.tensor([5, 3, 1, 0, 2, 4])) + h[:, [1, 0, 3, 2, 5, 4]]
    h = torch.roll(h, 2, 1) + h.flip(1)
    parts = h.tensor_split(3, 1)
    h = torch.cat([parts[0].repeat(1, 2, 1), parts[1]], 1)
    return m.out(h + parts[2].repeat_interleave(3, 1))


def assignment_to_channels(m: Function, x: Tensor) -> Tensor:
    h = m.one(F.pad(past(m, x), (2, 0))).clone()
    h[:, :2] = torch.tanh(h[:, :2])
    h[:, 3] = h[:, 4] * 2
    h[:, 4:] *= 0.5
    return m.out(h)


def in_place_on_views(m: Function, x: Tensor) -> Tensor:
    h = m.one(F.pad(past(m, x), (2, 0)))
    first, second = h.chunk(2, 1)
    first += second
    second.sigmoid_()
    return m.out(h)


def full_padding_cropped(m: Function, x: Tensor) -> Tensor:
    return m.out(F.relu(F.conv1d(past(m, x), m.one.weight, m.one.bias, padding=2)[..., :-2]))


def positions_in_sine(m: Function, x: Tensor) -> Tensor:
    where = torch.arange(x.shape[1], dtype=torch.float64)[:, None]
    waves = torch.cat([(where / 7).sin(), (where / 3).cos()], 1).to(m.one.weight.dtype)
    h = torch.cat([past(m, x).mT, waves.expand(x.shape[0], -1, -1)], -1)
    return m.out(F.silu(m.eight(h)).mT)


def powers(m: Function, x: Tensor) -> Tensor:
    h = past(m, x)
    h = torch.addcmul(h, h.square(), h.sigmoid(), value=0.5)
    h = torch.addcdiv(h, h.abs().sqrt(), 1 + h.exp(), value=-0.3)
    h = torch.lerp(h, torch.where(h > 0, h, h.sin()), 0.25)
    return m.out(F.softmax(h, 1).clamp(min=0.1).log().roll(1, 1))


WAYS: list[Way] = [
    batch_norm, group_norm_of_each_step, gated_by_glu, einsum_over_channels, einsum_of_taps,
    einsum_attention, mask_by_multiplication_and_large_negative, running_mean, lstm_module,
    gru_module, selection_of_channels, assignment_to_channels, in_place_on_views,
    full_padding_cropped, positions_in_sine, powers,
]  # fmt: skip


class Heads(nn.Module):
    """Query, key and value projections of two heads as one array."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3 * 2 * 6 * 3) / 2)


def layers() -> Layers:
    torch.manual_seed(11)
    return {
        "token": nn.Embedding(3, 6), "one": nn.Conv1d(6, 6, 3), "two": nn.Conv1d(6, 12, 3),
        "norm": nn.BatchNorm1d(6), "groups": nn.GroupNorm(2, 6), "out": nn.Conv1d(6, 3, 1),
        "point": nn.Conv1d(6, 6, 1), "heads": Heads(), "qkv": nn.Linear(6, 18),
        "lstm": nn.LSTM(6, 6, batch_first=True), "gru": nn.GRU(6, 6, batch_first=True),
        "eight": nn.Linear(8, 6),
    }  # fmt: skip


@pytest.mark.parametrize("function", WAYS)
def test_this_way_samples_as_the_naive_loop_does(function: Way) -> None:
    space = samples_alike(function, layers(), (), kind="audio", encoding="int", sites=18)
    assert space == "flat"


def mixed(m: Function, x: Tensor) -> Tensor:
    h = batch_norm_free(m, x)
    return m.out(m.lstm(h.mT)[0].mT + F.glu(m.two(F.pad(h, (2, 0))), 1))


def batch_norm_free(m: Function, x: Tensor) -> Tensor:
    h = torch.einsum("bct,oc->bot", past(m, x), m.point.weight[..., 0])
    h[:, :3] += 0.5
    return m.norm(h) + h.cumsum(-1).tanh()


def test_ways_mixed_sample_as_the_naive_loop_does() -> None:
    assert samples_alike(mixed, layers(), (), kind="audio", encoding="int", sites=18) == "flat"


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    name: getattr(nn, name)
    for name in (
        "ELU", "Hardshrink", "Hardsigmoid", "Hardtanh", "Hardswish", "LeakyReLU", "LogSigmoid",
        "PReLU", "ReLU", "ReLU6", "SELU", "CELU", "GELU", "Sigmoid", "SiLU", "Mish", "Softplus",
        "Softshrink", "Softsign", "Tanh", "Tanhshrink",
    )
}  # fmt: skip
ACTIVATIONS["PReLU by channel"] = lambda: nn.PReLU(6)
ACTIVATIONS["Threshold"] = lambda: nn.Threshold(0.1, -0.5)
ACTIVATIONS["GELU by tanh"] = lambda: nn.GELU("tanh")
ACTIVATIONS["RReLU"] = nn.RReLU
ACTIVATIONS["Softmin"] = lambda: nn.Softmin(1)
ACTIVATIONS["Softmax"] = lambda: nn.Softmax(1)
ACTIVATIONS["LogSoftmax"] = lambda: nn.LogSoftmax(1)
ACTIVATIONS["GLU"] = lambda: nn.Sequential(nn.Conv1d(6, 12, 1), nn.GLU(1))


def test_every_activation_of_torch_has_a_rule() -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        h = past(m, x)
        for act in m.acts:
            h = h + act(h)
        return m.out(h / 40)

    acts = nn.ModuleList(make() for make in ACTIVATIONS.values())
    own = {**layers(), "acts": acts}
    assert samples_alike(forward, own, (), kind="audio", encoding="int", sites=12) == "flat"
