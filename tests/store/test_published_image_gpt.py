"""Published Image GPTs: a trained checkpoint, and random ones of Hugging Face's own classes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ancestral.runtimes.scorer import Scorer
from ancestral.store import Package, PackageError, load_package
from ancestral.store.checkpoint import plain, read_checkpoint
from ancestral.store.importer import Told, import_checkpoint


@pytest.fixture(scope="module")
def koder_file(checkpoints_folder: Path) -> Path:
    return checkpoints_folder / "igpt_mnist" / "mnist_gen.ckpt"


def test_trained_checkpoint_nats(koder_file: Path, data_folder: Path, tmp_path: Path) -> None:
    """242.58 nats is the mean of the first 128 digits (it goes round as that of the first 256)."""
    package = load_package(import_checkpoint(koder_file, tmp_path, Told("igpt", heads=2)))
    with np.load(data_folder / "mnist.npz") as mnist:
        pixels = torch.from_numpy(mnist["x_test"][:128])[:, None]
    centroids = read_checkpoint(koder_file).state["centroids"].flatten()
    codes = ((pixels[..., None] / 255 - centroids) ** 2).argmin(-1)
    nats = -Scorer(package.network).per_dim(codes).sum(dim=(1, 2))
    assert float(nats.mean()) == pytest.approx(242.58, abs=0.005)
    # the palette holds the centroids as bytes: it moves pixels that lie between two of them
    codec = package.manifest.data.media_codec
    image, steps = codec.encode(pixels[0].numpy().repeat(3, axis=0), fit=True)
    assert steps == ["took the nearest of 16 palette colours"]
    assert (image == codes[0].numpy()).mean() > 0.99


def test_the_number_of_heads_must_be_told(koder_file: Path, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="give --heads"):
        import_checkpoint(koder_file, tmp_path, Told("igpt"))
    with pytest.raises(PackageError, match="3 heads do not divide the width 16"):
        import_checkpoint(koder_file, tmp_path, Told("igpt", heads=3))
    with pytest.raises(PackageError, match="784 positions: give --shape"):
        import_checkpoint(koder_file, tmp_path, Told("igpt", heads=2, shape=(1, 28, 27)))


SMALL = {"vocab_size": 17, "n_positions": 16, "n_embd": 8, "n_layer": 3, "n_head": 2}
CLUSTERS = [[2 * k / 255 - 1, 0.0, 1 - 2 * k / 255] for k in range(16)]


def hugging_face(folder: Path, **config: Any) -> Any:
    """A random model, stored in `folder` as its own classes do; every parameter matters."""
    transformers = pytest.importorskip("transformers", reason="made by transformers' own classes")
    torch.manual_seed(4)
    model = transformers.ImageGPTForCausalImageModeling(
        transformers.ImageGPTConfig(**SMALL | config)
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.5 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"clusters": CLUSTERS}))
    return model


@pytest.mark.parametrize(
    "config", [{}, {"activation_function": "gelu_new", "n_inner": 16, "n_head": 4}]
)
def test_hugging_face_folder(tmp_path: Path, config: dict[str, Any]) -> None:
    model = hugging_face(tmp_path / "theirs", **config)
    package: Package = load_package(import_checkpoint(tmp_path / "theirs", tmp_path, Told("small")))
    codes = torch.randint(0, 16, (3, 1, 4, 4), generator=torch.Generator().manual_seed(2))
    start = torch.full((3, 1), 16)
    with torch.no_grad():
        expected = model(torch.cat([start, codes.flatten(1)[:, :-1]], dim=1)).logits
        params = package.network(codes).reshape(3, 16, 16)
    torch.testing.assert_close(params, expected, rtol=0, atol=1e-5)
    assert package.manifest.data.palette is not None
    assert package.manifest.data.palette[:2] == ((0, 128, 255), (1, 128, 254))


def edited(folder: Path, copy: Path, **changes: Any) -> Path:
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text()) | changes
    (copy / "config.json").write_text(json.dumps(config))
    return copy


def test_settings_that_are_not_read(tmp_path: Path) -> None:
    hugging_face(tmp_path / "theirs")
    for name, value in {
        "scale_attn_by_inverse_layer_idx": True,
        "activation_function": "swish",
        "n_head": None,
    }.items():
        folder = edited(tmp_path / "theirs", tmp_path / name, **{name: value})
        with pytest.raises(PackageError, match=name):
            import_checkpoint(folder, tmp_path / "store", Told("small"))
    (tmp_path / "theirs" / "preprocessor_config.json").unlink()
    with pytest.raises(PackageError, match="with its clusters"):
        import_checkpoint(tmp_path / "theirs", tmp_path / "store", Told("small"))
    (tmp_path / "theirs" / "config.json").write_text("[]")
    with pytest.raises(PackageError, match="no JSON object"):
        import_checkpoint(tmp_path / "theirs", tmp_path / "store", Told("small"))


def test_prefixes_and_weight_norm_are_undone() -> None:
    torch.manual_seed(1)
    old = torch.nn.utils.parametrizations.weight_norm(torch.nn.ConvTranspose2d(3, 2, 3))
    weights = {f"module.up.{name}": value for name, value in old.state_dict().items()}
    found = plain(weights)
    assert set(found) == {"up.weight", "up.bias"}
    torch.testing.assert_close(found["up.weight"], old.weight)
    direction = weights["module.up.parametrizations.weight.original1"]
    short = {"a.weight_g": torch.full((3, 1, 1, 1), 2.0), "a.weight_v": direction}
    assert plain(short)["a.weight"].square().sum(dim=(1, 2, 3)).tolist() == pytest.approx([4.0] * 3)


def test_pickled_hyper_parameters_are_read_as_mappings(tmp_path: Path) -> None:
    """A class of the name that Lightning gives, whose code must not matter."""
    import sys
    from types import ModuleType

    class AttributeDict(dict):  # type: ignore[type-arg]
        def __setitem__(self, key: object, value: object) -> None:
            raise AssertionError("code of the checkpoint's class ran")

    name = "pytorch_lightning.utilities.parsing"
    AttributeDict.__module__, AttributeDict.__qualname__ = name, "AttributeDict"
    module = ModuleType(name)
    module.AttributeDict = AttributeDict  # type: ignore[attr-defined]
    parts = {"pytorch_lightning": ModuleType("a"), "pytorch_lightning.utilities": ModuleType("b")}
    sys.modules.update(parts | {name: module})
    try:
        file = tmp_path / "model.ckpt"
        content = {"state_dict": {"a": torch.ones(1)}, "hyper_parameters": AttributeDict(heads=2)}
        torch.save(content, file)
        assert set(read_checkpoint(file).state) == {"a"}
    finally:
        for key in [*parts, name]:
            del sys.modules[key]
