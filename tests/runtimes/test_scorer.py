from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from tests.chain import CLASSES, LABEL, LinearChain, all_items, image_chain, vector_chain

from ancestral.models.data import ConditionSpec
from ancestral.runtimes import scorer as scorer_module
from ancestral.runtimes.scorer import Scorer


def closed_form(module: torch.nn.Module, items: np.ndarray, label: int = 0) -> np.ndarray:
    assert isinstance(module, LinearChain)
    return np.array([module.log_prob(item, label) for item in items])


def test_per_dim_is_the_closed_form_and_sums_to_one() -> None:
    network = vector_chain(4)
    items = all_items(4)
    nats = Scorer(network).per_dim(torch.from_numpy(items))
    assert nats.dtype == torch.float64
    np.testing.assert_allclose(nats[..., 0], closed_form(network.module, items), atol=1e-5)
    assert float(nats.sum((1, 2)).exp().sum()) == pytest.approx(1, abs=1e-5)


def test_channels_of_a_pixel_lie_together() -> None:
    network = image_chain(channels=2, height=1, width=2)
    flat = all_items(4)  # (row, column, channel)
    codes = torch.from_numpy(flat.reshape(-1, 1, 2, 2)).permute(0, 3, 1, 2)
    nats = Scorer(network).per_dim(codes, (torch.tensor([1]),))
    expected = closed_form(network.module, flat, label=1).reshape(-1, 2, 2)
    np.testing.assert_allclose(nats, expected, atol=1e-5)


def test_small_passes_and_runs_of_sites_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    network = vector_chain(5)
    codes = torch.from_numpy(all_items(5))
    labels = torch.arange(len(codes)) % CLASSES
    whole = Scorer(network).per_dim(codes, (labels,))
    monkeypatch.setattr(scorer_module, "PASS_BYTES", 3 * 4 * 5)
    monkeypatch.setattr(scorer_module, "LIKELIHOOD_BYTES", 2 * 3 * 32)
    np.testing.assert_allclose(Scorer(network).per_dim(codes, (labels,)), whole, atol=1e-6)


@pytest.mark.parametrize("order", [None, np.array([2, 0, 3, 1])])
def test_marginal_is_the_mixture_over_labels(order: np.ndarray | None) -> None:
    network = vector_chain(4, order)
    items = all_items(4)
    nats = Scorer(network, (LABEL,), order=order).marginal(torch.from_numpy(items), (None,))
    assert LABEL.prior is not None
    by_label = [closed_form(network.module, items, k).sum(1) for k in range(CLASSES)]
    totals = logsumexp(by_label, axis=0, b=np.array(LABEL.prior)[:, None])
    np.testing.assert_allclose(nats.sum((1, 2)), totals, atol=1e-5)
    assert float(nats.sum((1, 2)).exp().sum()) == pytest.approx(1, abs=1e-5)
    # Each entry is a conditional probability given the earlier ones: the two values sum to one.
    rank = np.arange(4) if order is None else order
    for site in range(4):
        same_past = items[:, rank[:site]].sum(1) == 0
        some = nats[same_past, rank[site], 0].exp().numpy()
        values = items[same_past, rank[site]]
        assert some[values == 0][0] + some[values == 1][0] == pytest.approx(1, abs=1e-5)


def test_labels_given_are_not_summed_out() -> None:
    network = vector_chain(3)
    scorer = Scorer(network, (LABEL,))
    codes = torch.from_numpy(all_items(3))
    given = scorer.marginal(codes, (torch.tensor([2]),))
    np.testing.assert_allclose(given, scorer.per_dim(codes, (torch.tensor([2]),)), atol=1e-12)


def test_bad_calls_say_so() -> None:
    scorer = Scorer(vector_chain(3), (ConditionSpec(name="mel", kind="series", channels=4),))
    with pytest.raises(ValueError, match="empty"):
        scorer.per_dim(torch.zeros(0, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="2 items, but a condition has 3 rows"):
        scorer.per_dim(torch.zeros(2, 3, dtype=torch.int64), (torch.zeros(3),))
    with pytest.raises(ValueError, match="mel is a series"):
        scorer.marginal(torch.zeros(2, 3, dtype=torch.int64), (None,))
