"""What rounded weights cost, and that sampling and scoring use the same ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.packages import publish

import ancestral
from ancestral.engine.rounded import LIMIT, drawn, rounding
from ancestral.engine.verify import verify
from ancestral.store.package import load_package
from ancestral.train.splits import Split


def test_what_is_scored_is_what_is_sampled(tmp_path: Path) -> None:
    publish(tmp_path, "tiny-gpt")
    model = ancestral.load("tiny-gpt", root=tmp_path, weights="int8")
    plain = ancestral.load("tiny-gpt", root=tmp_path)
    samples = model.sample(3, seed=1)
    for item, log_prob in zip(samples.items, samples.log_prob, strict=True):
        assert model.log_prob(item)[0].log_prob == pytest.approx(log_prob, rel=1e-4)
        assert plain.log_prob(item)[0].log_prob != pytest.approx(log_prob, rel=1e-4)
    assert model.fingerprint != plain.fingerprint


@pytest.mark.parametrize("name", ["tiny-gpt", "tiny-pixelcnn", "tiny-wavernn"])
def test_the_cost_on_drawn_items_is_the_difference_of_scores(tmp_path: Path, name: str) -> None:
    publish(tmp_path, name)
    model = ancestral.load(name, root=tmp_path, runtime="naive", weights="bf16")
    check = rounding(model, 24)
    split = drawn(ancestral.load(name, root=tmp_path, runtime="naive"), 24)
    codes, conditions = split.batch(range(len(split)))
    plain = load_package(tmp_path / name / "1", "float32")
    wanted = []
    for network in (plain.network, model.network):
        with torch.no_grad():
            nats = network.nats_per_item(codes, *conditions)
        wanted.append(-float(nats.sum()) / codes.numel() / np.log(2))
    assert check.ok
    assert check.limit is None  # asked for by a flag: told, not judged
    assert check.value == pytest.approx(wanted[1] - wanted[0], abs=2e-5)


def test_a_package_whose_own_weights_cost_too_much_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert LIMIT == 0.005
    monkeypatch.setattr("ancestral.engine.rounded.LIMIT", 1e-4)  # the network is tiny
    folder = publish(tmp_path, "tiny-gpt", weights="int8")
    assert json.loads((folder / "model.json").read_text())["weights"] == "int8"
    model = ancestral.load("tiny-gpt", root=tmp_path, runtime="naive")
    assert model.package.weights == "int8"
    stored = ancestral.load("tiny-gpt", root=tmp_path, runtime="naive", weights="float32")
    # items on which rounding costs most among many
    items = stored.sample(200, seed=3).items
    cost = [a.log_prob - b.log_prob for a, b in zip(stored.log_prob(items), model.log_prob(items),
                                                    strict=True)]  # fmt: skip
    order = np.argsort(cost)
    dear, cheap = Split(items[order[-20:]]), Split(items[order[:20]])
    assert not rounding(model, 16, dear).ok
    assert rounding(model, 16, dear).limit == 1e-4
    assert rounding(model, 16, cheap).ok
    report = verify(model, "naive", items=dear)
    assert [check.name for check in report.checks if not check.ok] == ["weights, int8"]
    assert not report.ok


def test_an_unknown_precision_is_refused(tmp_path: Path) -> None:
    publish(tmp_path, "tiny-gpt")
    with pytest.raises(ValueError, match="weights"):
        ancestral.load("tiny-gpt", root=tmp_path, weights="fp4")
