"""Modules that nobody here wrote: imported, they score as their own forward says, and sample."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.exports import BATCH, GPT, ColourNet, PixelNet, Wave, exported, imported
from torch import Tensor, nn
from torch.export import Dim, export, save

from ancestral.compile import CausalityError, CompileError
from ancestral.engine.model import Model
from ancestral.likelihoods import DiscretizedLogisticMixture
from ancestral.store.package import load_package


def agree(model: Model, codes: Tensor, wanted: Tensor, condition: object = None) -> None:
    """Scores [B] in nats are the wanted, and what is sampled scores as it did on the way."""
    found = [score.log_prob for score in model.log_prob(codes, condition)]
    np.testing.assert_allclose(found, wanted.detach().numpy(), rtol=1e-5)
    assert model.derived, model.fallback_reason
    options = {} if model.data.shape else {"sites": 20}
    first = condition and {name: value[0] for name, value in condition.items()}
    drawn = model.sample(1, 3, first, **options)
    scored = model.log_prob(drawn.items[0][None], first)[0].log_prob
    assert drawn.log_prob.sum() == pytest.approx(scored, rel=1e-5)


def logits_nats(logits: Tensor, codes: Tensor) -> Tensor:
    """Nats [B] of codes [B, …] under logits [B, K, …]."""
    return -F.cross_entropy(logits, codes, reduction="none").flatten(1).sum(1)


def test_masked_convolutions_with_batch_norm_and_writes_in_place(tmp_path: Path) -> None:
    module = PixelNet(1, 4)
    file = exported(tmp_path, module, [torch.randn(1, 1, 5, 4)])
    found = imported(
        file, data="image", shape="1x5x4", levels=4, likelihood="categorical", encode="signed"
    )
    assert found.warning is None
    codes = torch.randint(4, (3, 1, 5, 4))
    wanted = logits_nats(module(2 * codes / 3 - 1), codes[:, 0])
    agree(Model(load_package(found.path)), codes, wanted)
    stored = json.loads((found.path / "graph.json").read_text())
    assert stored["schema_version"] == 1
    assert "p_first_weight" not in stored["constants"]  # the mask is folded into the weight
    assert all(node["op"].split(".")[0] in ("aten", "operator") for node in stored["nodes"])


def test_a_mixture_over_colours_with_a_label(tmp_path: Path) -> None:
    module = ColourNet(20, classes=3)
    example = [torch.randn(2, 3, 4, 4), torch.zeros(2, dtype=torch.int64)]
    file = exported(tmp_path, module, example, (BATCH, BATCH))
    found = imported(
        file, data="image", shape="3x4x4", levels=256, likelihood="dlm:2", encode="signed",
        conditions=["y=label:red,green,sky blue"],
    )  # fmt: skip
    codes, label = torch.randint(256, (2, 3, 4, 4)), torch.tensor([2, 0])
    params = module(codes / 127.5 - 1, label).permute(0, 2, 3, 1)[..., None, :]
    likelihood = DiscretizedLogisticMixture(components=2, channels=3, levels=256)
    nats = likelihood.log_prob(params.double(), codes.permute(0, 2, 3, 1))
    model = Model(load_package(found.path))
    agree(model, codes, nats.flatten(1).sum(1), {"y": ["sky blue", "red"]})


def test_a_label_that_is_read_one_hot(tmp_path: Path) -> None:
    class Labelled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.label = nn.Conv1d(1, 4, 1), nn.Linear(3, 4)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.left(F.pad(x[:, None], (1, 0))[..., :-1]) + self.label(y)[:, :, None]

    module = Labelled()
    file = exported(tmp_path, module, [torch.randn(2, 5), torch.randn(2, 3)], (BATCH, BATCH))
    options = {"data": "vector", "shape": "5", "levels": 4, "likelihood": "categorical"}
    with pytest.raises(ValueError, match=r"--condition y: .*\[batch, 7\]"):
        imported(file, encode="unit", conditions=["y=label:7"], **options)
    found = imported(file, encode="unit", conditions=["y=label:3"], **options)
    codes, label = torch.randint(4, (2, 5)), torch.tensor([2, 0])
    wanted = logits_nats(module(codes / 3, F.one_hot(label, 3).float()), codes)
    agree(Model(load_package(found.path)), codes, wanted, {"y": label.tolist()})


def test_logits_of_colours_on_an_axis_of_their_own(tmp_path: Path) -> None:
    class Last(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(F.pad(x, (1, 0))[..., :-1]).view(-1, 5, 3, 4, 4)

    module = Last(9, 15, 1)
    file = exported(tmp_path, module, [torch.randn(1, 9, 4, 4)])
    options = {"data": "image", "shape": "3x4x4", "levels": 5, "likelihood": "categorical"}
    with pytest.raises(ValueError, match=r"--input-layout.*'b \(c k\) h w' \| 'b \(k c\) h w'"):
        imported(file, encode="bits", **options)
    found = imported(file, encode="bits", input_layout="b (c k) h w", **options)
    codes = torch.randint(5, (2, 3, 4, 4))
    bits = torch.stack([codes // 4 % 2, codes // 2 % 2, codes % 2], 2).flatten(1, 2)
    agree(Model(load_package(found.path)), codes, logits_nats(module(bits.float()), codes))


def test_a_gpt_over_pixels_answers_for_the_next(tmp_path: Path) -> None:
    module = GPT(5, 4, 20)  # code 4 starts
    file = exported(tmp_path, module, [torch.zeros(2, 20, dtype=torch.int64)])
    found = imported(
        file, data="image", shape="1x5x4", levels=4, likelihood="categorical", predicts="next",
        start="4",
    )  # fmt: skip
    codes = torch.randint(4, (3, 1, 5, 4))
    flat = codes.flatten(1)
    logits = module(torch.cat([torch.full((3, 1), 4), flat[:, :-1]], 1)).transpose(1, 2)
    agree(Model(load_package(found.path)), codes, logits_nats(logits, flat))


def test_a_gpt_over_text_of_any_length(tmp_path: Path) -> None:
    module = GPT(7, 7, 65)
    dynamic = ({0: Dim("batch"), 1: Dim("time", min=2, max=64)},)
    file = exported(tmp_path, module, [torch.zeros(2, 20, dtype=torch.int64)], dynamic)
    found = imported(
        file, data="sequence", levels=7, likelihood="categorical", predicts="next", start="0"
    )
    codes = torch.randint(7, (2, 33))
    logits = module(F.pad(codes, (1, 0))[:, :-1]).transpose(1, 2)
    model = Model(load_package(found.path))
    agree(model, codes, logits_nats(logits, codes))
    assert model.manifest.data.length is not None
    assert model.manifest.data.length.maximum == 64


def test_a_wavenet_on_mel_frames(tmp_path: Path) -> None:
    module = Wave(16, 16, mel=3)
    time = {0: Dim("batch"), 2: Dim("time", min=16)}
    example = [torch.randn(2, 16, 30), torch.randn(2, 3, 30)]
    file = exported(tmp_path, module, example, (time, time))
    found = imported(
        file, data="audio", levels=16, sample_rate=8000, likelihood="categorical",
        encode="one-hot", predicts="next", start="zeros", conditions=["mel=series:3"],
    )  # fmt: skip
    codes, mel = torch.randint(16, (1, 20)), torch.randn(1, 3, 20)
    hot = F.one_hot(codes, 16).float().transpose(1, 2)
    logits = module(F.pad(hot, (1, 0))[..., :-1], mel)
    agree(Model(load_package(found.path)), codes, logits_nats(logits, codes), {"mel": mel.numpy()})


GREY = {"data": "image", "shape": "1x5x4", "levels": 4, "likelihood": "categorical"}


def test_a_first_layer_that_sees_its_own_pixel_is_refused_with_the_path(tmp_path: Path) -> None:
    file = exported(tmp_path, PixelNet(1, 4, own=True), [torch.randn(1, 1, 5, 4)])
    with pytest.raises(CausalityError) as refused:
        imported(file, encode="signed", **GREY)
    path = "\n".join(refused.value.path)
    assert "aten.conv2d.default" in path
    assert "exports.py" in path
    assert not (tmp_path / "store" / "theirs").is_dir() or not list(
        (tmp_path / "store" / "theirs").iterdir()
    )


def test_batch_norm_in_training_form_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.pt2"
    save(export(PixelNet(1, 4), (torch.randn(2, 1, 5, 4),)), file)
    with pytest.raises(CompileError, match=r"batch norm in training form.*\.eval\(\)"):
        imported(file, encode="signed", **GREY)


class Sorted(nn.Module):
    """Shifted by one, then an operator that has no rule; `leaks`: without the shift."""

    def __init__(self, leaks: bool) -> None:
        super().__init__()
        self.weight, self.leaks = nn.Parameter(torch.ones(4)), leaks

    def forward(self, x: Tensor) -> Tensor:
        before = x if self.leaks else F.pad(x, (1, 0))[:, :-1]
        return torch.cummax(before, 1).values[:, None] * self.weight[:, None]


def test_an_operator_without_a_rule_is_served_by_its_forward_pass(tmp_path: Path) -> None:
    options = {"data": "vector", "shape": "5", "levels": 4, "likelihood": "categorical"}
    file = exported(tmp_path, Sorted(False), [torch.randn(1, 5)])
    found = imported(file, encode="unit", **options)
    assert found.warning is not None
    assert "aten.cummax" in found.warning
    assert "5 forward passes" in found.warning
    model = Model(load_package(found.path))
    assert not model.derived
    drawn = model.sample(2, 1)
    nats = [score.log_prob for score in model.log_prob(drawn.items)]
    assert drawn.log_prob.sum() == pytest.approx(math.fsum(nats), rel=1e-5)
    leaky = exported(tmp_path, Sorted(True), [torch.randn(1, 5)])
    with pytest.raises(CausalityError, match="not causal"):
        imported(leaky, encode="unit", **options)
