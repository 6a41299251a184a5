"""Representations are the module's own hidden states, averaged over positions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.models.cases import LABEL, network

import ancestral
from ancestral.models import DataSpec
from ancestral.runtimes.embedder import MAX_BATCH, LayerError, chosen_layer, embed

SMALL = DataSpec(kind="image", shape=(1, 3, 4), levels=2)
BITS = {"kind": "bernoulli"}
SHIPPED = Path(__file__).parents[2] / "models_store"


def test_the_hidden_state_after_each_layer() -> None:
    net = network("image-gpt", SMALL, BITS, LABEL, layers=3, width=8, heads=2)
    codes = torch.randint(0, 2, (MAX_BATCH + 3, 1, 3, 4))
    label = torch.tensor([1])
    module = net.module
    h = torch.cat(
        [module.start.expand(len(codes), 1, -1), module.token(codes.flatten(1))[:, :-1]], 1
    )
    h = h + module.positions[0] + module.labels[0](label)[:, None]
    for layer, block in enumerate(module.blocks, start=1):
        h = block(h)
        found = embed(net, codes, [label], layer)
        torch.testing.assert_close(found, h.mean(1).float(), rtol=1e-5, atol=1e-6)
    assert not any(block._forward_hooks for block in module.blocks)


def test_the_layer_is_the_middle_one_unless_told() -> None:
    net = network("image-gpt", SMALL, BITS, layers=4, width=8, heads=2)
    assert [chosen_layer(net, layer) for layer in (None, 1, 4)] == [2, 1, 4]
    for layer in (0, 5):
        with pytest.raises(LayerError, match="1 to 4"):
            chosen_layer(net, layer)
    made = network("made", SMALL, BITS, hidden=[8])
    with pytest.raises(LayerError, match="no layers"):
        chosen_layer(made, None)


@pytest.mark.slow
def test_a_linear_probe_reads_digits(data_folder: Path) -> None:
    """Logistic regression on representations of the shipped model; chance is 10 %."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    model = ancestral.load("image-gpt-binary-mnist", SHIPPED)
    with np.load(data_folder / "mnist.npz") as mnist:
        images = np.concatenate([mnist["x_train"][:1000], mnist["x_test"][:500]])
        digits = np.concatenate([mnist["y_train"][:1000], mnist["y_test"][:500]])
    vectors = StandardScaler().fit_transform(model.embed((images > 127).astype(int)[:, None]))
    probe = LogisticRegression(max_iter=2000).fit(vectors[:1000], digits[:1000])
    assert probe.score(vectors[1000:], digits[1000:]) > 0.8  # measured 0.874
