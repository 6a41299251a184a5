"""The training loop: the rate, the loss, and runs that are broken off."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.recipes import stripes, write_recipe

from ancestral.likelihoods import from_config
from ancestral.models import DataSpec, Network, build
from ancestral.train import read_recipe
from ancestral.train.batches import Batches
from ancestral.train.datasets import Split
from ancestral.train.loop import coarse_loss, drawn_order, fit, loss, rate
from ancestral.train.recipe import Training
from ancestral.train.run import network_of


def test_the_rate_rises_stays_and_falls() -> None:
    training = Training(steps=100, batch=1, learning_rate=1.0, warmup=10, decay=0.4)
    rates = [rate(training, step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert rates[10:61] == [1.0] * 51
    assert rates[80] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(1 / 40)


def test_a_shorter_run_is_the_beginning_of_a_longer_one() -> None:
    short, long = (
        Training(steps=steps, batch=1, learning_rate=1.0, warmup=10, decay=0.5)
        for steps in (60, 100)
    )
    assert [rate(short, step) for step in range(31)] == [rate(long, step) for step in range(31)]


def test_the_loss_is_in_bits_and_heeds_weights() -> None:
    data = DataSpec(kind="audio", levels=4, sample_rate=8000)
    likelihood = from_config({"kind": "categorical", "levels": 4})
    hyper = {"dilations": [1], "residual": 2, "skip": 2}
    network = build("wavenet", hyper, data, likelihood)
    codes = torch.randint(0, 4, (2, 6))
    logits = network(codes)[:, :, 0]
    entropy = torch.nn.functional.cross_entropy(
        logits.reshape(12, 4), codes.reshape(12), reduction="none"
    ).reshape(2, 6)
    every = loss(network, codes, (), torch.ones(()))
    torch.testing.assert_close(every, entropy.mean() / math.log(2))
    weights = torch.tensor([[1.0] * 6, [1, 1, 1, 0, 0, 0]])
    some = loss(network, codes, (), weights)
    torch.testing.assert_close(some, (entropy * weights).sum() / 9 / math.log(2))


PICTURES = stripes(40)[:, None]


class BrokenOff(Exception):
    """What stops a run in the middle."""


def run(folder: Path, stop: int, **changes: Any) -> Network:
    """The tiny recipe's network after a run, resumed where one was broken off, up to `stop`."""
    recipe = read_recipe(write_recipe(folder))
    network = network_of(recipe)
    training = recipe.training.model_copy(update=changes)

    def report(step: int, bits: float, validated: float | None) -> None:
        if step == stop and stop < training.steps:
            raise BrokenOff

    with contextlib.suppress(BrokenOff):
        fit(
            network,
            training,
            Batches(Split(PICTURES[:32]), training.batch, recipe.seed),
            Split(PICTURES[32:]),
            folder / "checkpoint.safetensors",
            resume=True,
            report=report,
        )
    return network


def bits_of(network: Network) -> float:
    codes = torch.from_numpy(PICTURES[32:]).long()
    return float(loss(network, codes, (), torch.ones(())).detach())


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_run_broken_off_ends_as_one_undisturbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    monkeypatch.setattr("ancestral.train.loop.SAVE_SECONDS", -1.0)  # after every step
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    whole = run(tmp_path / "whole", 30, optimizer=optimizer)
    for stop in (8, 21, 30):
        broken = run(tmp_path / "broken", stop, optimizer=optimizer)
    for name, value in whole.module.state_dict().items():
        assert torch.equal(value, broken.module.state_dict()[name]), name


def test_training_learns(tmp_path: Path) -> None:
    assert (
        bits_of(run(tmp_path, 150, steps=150)) < 0.6
    )  # stripes of four bits: 0.25 bits/dim at best


def test_weights_that_validate_best_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps that throw the weights far off in the end do not lose the good ones."""
    monkeypatch.setattr("ancestral.train.loop.rate", lambda _, step: 1.0 if step < 100 else 1e4)
    assert bits_of(run(tmp_path, 120, steps=120, validate_every=5)) < 0.8


def test_the_upper_bit_is_scored_under_the_same_distribution() -> None:
    data = DataSpec(kind="image", shape=(2, 2, 3), levels=6)
    likelihood = from_config({"kind": "categorical", "levels": 6})
    network = build("gated-pixelcnn", {"channels": 4, "dilations": [1]}, data, likelihood)
    codes = torch.randint(0, 6, (2, 2, 2, 3))
    upper, whole = coarse_loss(network, codes, ())
    torch.testing.assert_close(whole, loss(network, codes, (), torch.ones(())))
    probabilities = network(codes).softmax(-1).movedim(-2, 1)  # [B, C, H, W, levels]
    above = probabilities[..., 3:].sum(-1)
    expected = torch.nn.functional.binary_cross_entropy(above, (codes >= 3).float())
    torch.testing.assert_close(upper, expected / math.log(2))


def test_a_step_draws_one_of_the_orders() -> None:
    data = DataSpec(kind="vector", shape=(3,), levels=2)
    bits = from_config({"kind": "bernoulli"})
    several = build("made", {"hidden": [4], "orders": [0, 1]}, data, bits)
    drawn = {drawn_order(several, step).module.name for step in range(20)}
    assert drawn == {"order-0", "order-1"}
    assert drawn_order(several, 7).module.name == drawn_order(several, 7).module.name
    one = build("made", {"hidden": [4]}, data, bits)
    assert drawn_order(one, 3) is one
