"""What lies between codes and a module, and between its output and parameters."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
import torch
from tests.models.cases import LABEL, SERIES, network
from torch import nn

from ancestral.likelihoods import from_config
from ancestral.models import FAMILIES, DataSpec, Network, build
from ancestral.models.network import Encoding, ParamsLayout, bits_per_dim

RGB = DataSpec(kind="image", shape=(3, 2, 4), levels=5)


class Echo(nn.Module):
    """Answers what it was given, and remembers it."""

    def __init__(self, answer: torch.Tensor) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.answer = answer
        self.seen: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen = x
        return self.answer


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [("unit", [0, 0.25, 1]), ("signed", [-1, -0.5, 1]), ("int", [0, 1, 4])],
)
def test_codes_are_encoded(encoding: Any, expected: list[float]) -> None:
    data = DataSpec(kind="vector", shape=(3,), levels=5)
    module = Echo(torch.zeros(1, 3, 5))
    net = Network(
        module, data, encoding, "channels-last", from_config({"kind": "categorical", "levels": 5})
    )
    net(torch.tensor([[0, 1, 4]]))
    assert module.seen is not None
    assert module.seen.tolist() == [expected]
    assert module.seen.dtype == (torch.int64 if encoding == "int" else torch.float64)


def test_one_hot_makes_levels_channels() -> None:
    codes = torch.randint(0, 5, (2, 3, 2, 4))
    module = Echo(torch.zeros(2, 15, 2, 4))
    likelihood = from_config({"kind": "categorical", "levels": 5})
    Network(module, RGB, "one-hot", "channels-first", likelihood)(codes)
    assert module.seen is not None
    assert module.seen.shape == (2, 15, 2, 4)
    for c in range(3):
        block = module.seen[:, 5 * c : 5 * c + 5]
        assert torch.equal(block.argmax(1), codes[:, c])
        assert torch.equal(block.sum(1), torch.ones(2, 2, 4, dtype=torch.float64))


def test_layouts_agree_on_where_a_parameter_is() -> None:
    codes = torch.zeros(2, 3, 2, 4, dtype=torch.int64)
    likelihood = from_config({"kind": "categorical", "levels": 5})
    first = torch.randn(2, 15, 2, 4, dtype=torch.float64)
    last = first.permute(0, 2, 3, 1).reshape(2, 8, 15)
    by_first = Network(Echo(first), RGB, "signed", "channels-first", likelihood)(codes)
    by_last = Network(Echo(last), RGB, "signed", "channels-last", likelihood)(codes)
    assert by_first.shape == (2, 2, 4, 3, 5)
    assert torch.equal(by_first, by_last)
    # the second channel's third parameter at row 1, column 3
    assert torch.equal(by_first[:, 1, 3, 1, 2], first[:, 5 + 2, 1, 3])


def test_a_joint_likelihood_has_one_vector_a_site() -> None:
    mixture = {"kind": "discretized-logistic-mixture", "components": 2, "channels": 3, "levels": 5}
    net = network("gated-pixelcnn", RGB, mixture, channels=4, dilations=[1])
    assert net(torch.zeros(2, 3, 2, 4, dtype=torch.int64)).shape == (2, 2, 4, 1, 20)


def test_real_values_pass_as_they_are() -> None:
    data = DataSpec(kind="vector", shape=(3,))
    module = Echo(torch.zeros(1, 3, 2))
    x = torch.randn(1, 3)
    Network(module, data, "unit", "channels-last", from_config({"kind": "gaussian"}))(x)
    assert module.seen is x


def test_likelihood_and_data_must_agree() -> None:
    module = Echo(torch.zeros(1))
    with pytest.raises(ValueError, match="gaussian likelihood is for real-valued data"):
        Network(module, RGB, "unit", "channels-first", from_config({"kind": "gaussian"}))
    with pytest.raises(ValueError, match="unknown encoding"):
        Network(module, RGB, "log", "channels-first", from_config({"kind": "bernoulli"}))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown params_layout"):
        Network(module, RGB, "unit", "rows", from_config({"kind": "bernoulli"}))  # type: ignore[arg-type]


def test_build_refuses_what_does_not_fit() -> None:
    bernoulli = from_config({"kind": "bernoulli"})
    audio = DataSpec(kind="audio", levels=2, sample_rate=8000)
    bits = DataSpec(kind="image", shape=(1, 4, 4), levels=2)
    with pytest.raises(KeyError):
        build("pixelrnn", {}, bits, bernoulli)
    with pytest.raises(TypeError, match="dilation"):
        build("gated-pixelcnn", {"channels": 4, "dilation": [1]}, bits, bernoulli)
    hyper = {"channels": 4, "dilations": [1]}
    with pytest.raises(ValueError, match="answers channels-first"):
        build("gated-pixelcnn", hyper, bits, bernoulli, params_layout="channels-last")
    fitting: dict[str, dict[str, Any]] = {
        "gated-pixelcnn": {"channels": 4, "dilations": [1]},
        "image-gpt": {"layers": 1, "width": 4, "heads": 1},
        "made": {"hidden": [4]},
    }
    for family, hyper in fitting.items():
        with pytest.raises(ValueError, match=r"not audio|one size"):
            build(family, hyper, audio, bernoulli)
        with pytest.raises(ValueError, match=r"labels (and planes )?as conditions"):
            build(family, hyper, bits, bernoulli, [SERIES])
    with pytest.raises(ValueError, match="models sequences"):
        build("wavenet", {"dilations": [1], "residual": 2, "skip": 2}, bits, bernoulli)


def test_item_nats_are_the_sum_over_sites() -> None:
    data = DataSpec(kind="vector", shape=(4,), levels=2)
    net = network("made", data, {"kind": "bernoulli"}, LABEL, hidden=[6])
    codes = torch.tensor([[0, 1, 1, 0], [1, 1, 1, 1]])
    logits = net(codes, torch.tensor([0, 2]))[..., 0, 0]
    expected = torch.distributions.Bernoulli(logits=logits).log_prob(codes.double()).sum(1)
    nats = net.nats_per_item(codes, torch.tensor([0, 2]))
    torch.testing.assert_close(nats.double(), expected, rtol=1e-5, atol=1e-5)


def test_bits_are_channels_the_highest_first() -> None:
    data = DataSpec(kind="image", shape=(2, 1, 1), levels=5)
    module = Echo(torch.zeros(1, 10, 1, 1))
    likelihood = from_config({"kind": "categorical", "levels": 5})
    net = Network(module, data, "bits", "channels-first", likelihood)
    net(torch.tensor([[[[4]], [[3]]]]))
    assert module.seen is not None
    assert module.seen.flatten().tolist() == [1, 0, 0, 0, 1, 1]


def test_bits_per_dim() -> None:
    assert bits_per_dim(-math.log(2) * 12, 4) == pytest.approx(3)


def test_every_family_has_a_layout() -> None:
    data = DataSpec(kind="vector", shape=(4,), levels=2)
    for family in FAMILIES.values():
        assert family.reads in get_args(Encoding)
        assert family.answers in get_args(ParamsLayout)
    assert network("made", data, {"kind": "bernoulli"}, hidden=[3]).params_layout == "channels-last"
