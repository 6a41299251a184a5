"""The layout of r9y9/wavenet_vocoder, against its forward pass written down a second time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ancestral.store import PackageError, load_package
from ancestral.store.importer import Told, import_checkpoint

RESIDUAL, GATE, SKIP, KERNEL, LAYERS = 4, 6, 5, 3, 4  # GATE: both halves
TOLD = Told("vocoder", dilations=(1, 2), sample_rate=8000)
State = dict[str, Tensor]


def random_state(inputs: int, outputs: int, features: int = 0) -> State:
    """A data-parallel checkpoint with weight norm, as training would leave it."""
    generator = torch.Generator().manual_seed(7)
    shapes = {
        "first_conv": (RESIDUAL, inputs, 1),
        "last_conv_layers.1": (SKIP, SKIP, 1),
        "last_conv_layers.3": (outputs, SKIP, 1),
    }
    for n in range(LAYERS):
        shapes[f"conv_layers.{n}.conv"] = (GATE, RESIDUAL, KERNEL)
        shapes[f"conv_layers.{n}.conv1x1_out"] = (RESIDUAL, GATE // 2, 1)
        shapes[f"conv_layers.{n}.conv1x1_skip"] = (SKIP, GATE // 2, 1)
        if features:
            shapes[f"conv_layers.{n}.conv1x1c"] = (GATE, features, 1)
    state = {}
    for name, shape in shapes.items():
        state[f"module.{name}.weight_v"] = torch.randn(shape, generator=generator)
        state[f"module.{name}.weight_g"] = torch.rand(shape[0], 1, 1, generator=generator) + 0.5
        state[f"module.{name}.bias"] = torch.randn(shape[0], generator=generator)
    return state


def theirs(state: State, x: Tensor, features: Tensor | None = None) -> Tensor:
    """x [B, inputs, T], what precedes each prediction -> [B, outputs, T]; in float64."""

    def conv(name: str, h: Tensor, dilation: int = 1) -> Tensor:
        v = state[f"module.{name}.weight_v"].double()
        g, bias = (state[f"module.{name}.{part}"].double() for part in ("weight_g", "bias"))
        weight = g * v / v.square().sum(dim=(1, 2), keepdim=True).sqrt()
        past = (weight.shape[-1] - 1) * dilation
        return F.conv1d(F.pad(h, (past, 0)), weight, bias, dilation=dilation)

    h, skips = conv("first_conv", x.double()), torch.zeros(())
    for n in range(LAYERS):
        gates = conv(f"conv_layers.{n}.conv", h, dilation=(1, 2)[n % 2])
        if features is not None:
            gates = gates + conv(f"conv_layers.{n}.conv1x1c", features.double())
        a, b = gates.split(GATE // 2, dim=1)
        z = a.tanh() * b.sigmoid()
        skips = skips + conv(f"conv_layers.{n}.conv1x1_skip", z)
        h = (conv(f"conv_layers.{n}.conv1x1_out", z) + h) * 0.5**0.5
    h = F.relu(skips * (1 / LAYERS) ** 0.5)
    return conv("last_conv_layers.3", F.relu(conv("last_conv_layers.1", h)))


def stored(tmp_path: Path, state: State) -> Path:
    file = tmp_path / "checkpoint.pth"
    torch.save({"state_dict": state, "global_step": 10}, file)
    return file


def test_scalar_input_with_a_mixture_of_logistics_and_features(tmp_path: Path) -> None:
    state = random_state(1, 9, features=2)
    package = load_package(import_checkpoint(stored(tmp_path, state), tmp_path, TOLD))
    assert package.manifest.likelihood["components"] == 3
    codes = torch.from_numpy(np.random.default_rng(1).integers(0, 65536, (2, 30)))
    features = torch.randn(2, 2, 30, generator=torch.Generator().manual_seed(2))
    values = 2 * codes.double() / 65535 - 1
    before = F.pad(values, (1, 0))[:, None, :-1]
    expected = theirs(state, before, features).transpose(1, 2)
    params = package.network.double()(codes, features.double())[:, :, 0]
    torch.testing.assert_close(params, expected, rtol=1e-5, atol=1e-5)


def test_features_upsampled_by_the_network(tmp_path: Path) -> None:
    """conv_in over neighbouring frames; then for each factor repeat and filter over time."""
    state = random_state(1, 6, features=2)
    generator = torch.Generator().manual_seed(5)
    mix = torch.randn(2, 2, 3, generator=generator)
    state["module.upsample_net.conv_in.weight"] = mix
    filters = []
    for n, scale in enumerate((2, 3)):
        filters.append(torch.randn(1, 1, 3, 2 * scale + 1, generator=generator))
        name = f"module.upsample_net.upsample.up_layers.{2 * n + 1}.weight"
        state[name + "_v"] = filters[n]
        state[name + "_g"] = filters[n].square().sum().sqrt().reshape(1, 1, 1, 1)
    package = load_package(import_checkpoint(stored(tmp_path, state), tmp_path, TOLD))
    assert package.conditions[0].hop == 6
    frames = torch.randn(1, 2, 5, generator=generator).double()
    h = F.conv1d(frames, mix.double(), padding=1)[:, None]
    for kernel, scale in zip(filters, (2, 3), strict=True):
        h = h.repeat_interleave(scale, dim=-1)
        h = F.conv2d(h, kernel.double(), padding=(1, scale))
    codes = torch.from_numpy(np.random.default_rng(1).integers(0, 65536, (1, 30)))
    before = F.pad(2 * codes.double() / 65535 - 1, (1, 0))[:, None, :-1]
    expected = theirs(state, before, h[:, 0]).transpose(1, 2)
    params = package.network.double()(codes, frames)[:, :, 0]
    torch.testing.assert_close(params, expected, rtol=1e-5, atol=1e-5)


def test_mu_law_codes_with_a_softmax(tmp_path: Path) -> None:
    state = random_state(256, 256)
    package = load_package(import_checkpoint(stored(tmp_path, state), tmp_path, TOLD))
    codes = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (2, 30)))
    before = F.one_hot(F.pad(codes, (1, 0), value=127)[:, :-1], 256).transpose(1, 2)
    expected = theirs(state, before).transpose(1, 2)
    params = package.network.double()(codes)[:, :, 0]
    torch.testing.assert_close(params, expected, rtol=1e-5, atol=1e-5)
    assert package.manifest.data.codec is not None
    assert package.manifest.data.codec.rounding == "floor"


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    state = random_state(1, 9)
    for change, message in (
        ({"module.upsample_net.up_layers.1.weight": torch.zeros(1, 1, 1, 3)}, "upsample_net"),
        ({"module.conv_layers.0.conv1x1g.weight": torch.zeros(GATE, 2, 1)}, "conv1x1g"),
    ):
        with pytest.raises(PackageError, match=message):
            import_checkpoint(stored(tmp_path, state | change), tmp_path, TOLD)
    with pytest.raises(PackageError, match="10 outputs are no mixture of logistics"):
        import_checkpoint(stored(tmp_path, random_state(1, 10)), tmp_path, TOLD)
    with pytest.raises(PackageError, match="255 outputs for 256 codes"):
        import_checkpoint(stored(tmp_path, random_state(256, 255)), tmp_path, TOLD)
