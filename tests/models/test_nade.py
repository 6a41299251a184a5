"""FVSBN, NADE and RNADE against their papers' equations, written out dimension by dimension."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit
from scipy.stats import norm
from tests.models.cases import dependencies, network, total_probability

from ancestral.models import DataSpec

FIVE = DataSpec(kind="vector", shape=(5,), levels=2)
BITS = {"kind": "bernoulli"}
REAL = DataSpec(kind="vector", shape=(4,))
MIXTURE = {"kind": "mixture-of-gaussians", "components": 3}


@pytest.mark.parametrize(("family", "options"), [("fvsbn", {}), ("nade", {"hidden": 7})])
def test_a_dimension_sees_all_before_it(family: str, options: dict[str, int]) -> None:
    net = network(family, FIVE, BITS, **options)
    assert (dependencies(net, 5) == np.tri(5, k=-1, dtype=bool)).all()
    assert abs(total_probability(net, 5) - 1) < 1e-12


def test_fvsbn_is_a_logistic_regression_for_each_dimension() -> None:
    net = network("fvsbn", FIVE, BITS)
    x = torch.tensor([[1, 0, 1, 1, 0]])
    weight, bias = (p.detach().numpy() for p in (net.module.weight, net.module.bias))
    nats = 0.0
    for d in range(5):
        p = expit(bias[d] + sum(weight[d, j] * int(x[0, j]) for j in range(d)))
        nats += np.log(p if x[0, d] else 1 - p)
    assert net.nats_per_item(x).item() == pytest.approx(nats, abs=1e-5)


def test_nade_by_its_equations() -> None:
    net = network("nade", FIVE, BITS, hidden=7)
    x = np.array([1, 0, 1, 1, 0])
    m = net.module
    w, c, v, b = (
        p.detach().numpy() for p in (m.weight, m.hidden_bias, m.output[..., 0], m.bias[:, 0])
    )
    nats = 0.0
    for d in range(5):
        h = expit(c + w[:d].T @ x[:d])  # equation 9
        p = expit(b[d] + v[d] @ h)  # equation 8
        nats += np.log(p if x[d] else 1 - p)
    found = net.nats_per_item(torch.from_numpy(x)[None]).item()
    assert found == pytest.approx(nats, abs=1e-5)


def test_rnade_by_its_equations() -> None:
    net = network("rnade", REAL, MIXTURE, hidden=6)
    x = np.array([0.3, -1.2, 0.7, 2.0])
    m = net.module
    w, c, v, b, rho = (
        p.detach().numpy() for p in (m.weight, m.hidden_bias, m.output, m.bias, m.scale)
    )
    nats = 0.0
    for d in range(4):
        h = np.maximum(0, rho[d] * (c + w[:d].T @ x[:d]))  # equations 4 and 5
        logits, means, log_scales = np.split(b[d] + h @ v[d], 3)
        weights = np.exp(logits) / np.exp(logits).sum()
        nats += np.log((weights * norm.pdf(x[d], means, np.exp(log_scales))).sum())
    found = net.nats_per_item(torch.from_numpy(x)[None]).item()
    assert found == pytest.approx(nats, abs=1e-4)


@pytest.mark.parametrize(
    ("family", "data", "likelihood", "message"),
    [
        ("rnade", FIVE, BITS, "real values"),
        ("nade", DataSpec("sequence", levels=3), {"kind": "categorical", "levels": 3}, "one size"),
        ("fvsbn", DataSpec("audio", levels=4, sample_rate=1000),
         {"kind": "categorical", "levels": 4}, "one size"),
    ],
)  # fmt: skip
def test_other_data_is_refused(
    family: str, data: DataSpec, likelihood: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        network(family, data, likelihood, **({} if family == "fvsbn" else {"hidden": 3}))
