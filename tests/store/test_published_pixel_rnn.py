"""Published PixelRNNs: arrays by number, scored as their authors' own forward pass did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ancestral.likelihoods import from_config
from ancestral.models import DataSpec, Network, build
from ancestral.runtimes.scorer import Scorer
from ancestral.store import PackageError, load_package
from ancestral.store.checkpoint import read_checkpoint, read_state
from ancestral.store.importer import Told, import_checkpoint
from ancestral.store.layouts import convert
from ancestral.store.published.pixel_rnn import TAIMIR_PIXELRNN

TOLD = Told("pixelrnn", shape=(1, 28, 28), licence="MIT")
PUBLISHED = 53.19  # nats per image, the first 32 test digits thresholded at one half


def digits(data_folder: Path) -> torch.Tensor:
    with np.load(data_folder / "mnist.npz") as mnist:
        return torch.from_numpy((mnist["x_test"][:32] > 127.5).astype(np.int64))[:, None]


def nats(network: Network, codes: torch.Tensor) -> float:
    return -float(Scorer(network.eval()).per_dim(codes).sum(dim=(1, 2)).mean())


def test_nats_of_the_first_digits(checkpoints_folder: Path, data_folder: Path) -> None:
    checkpoint = read_checkpoint(checkpoints_folder / "pixelrnn_mnist" / "best_params.npz")
    described, tensors = convert(checkpoint, TAIMIR_PIXELRNN, TOLD)
    network = build(
        "diagonal-bilstm", described["hyperparameters"], DataSpec("image", (1, 28, 28), 2),
        from_config(described["likelihood"]), encoding=described["input_encoding"],
    )  # fmt: skip
    network.module.load_state_dict(tensors)
    assert nats(network, digits(data_folder)) == pytest.approx(PUBLISHED, abs=6e-3)


@pytest.mark.slow
def test_the_published_network_is_proved_causal(
    checkpoints_folder: Path, data_folder: Path, tmp_path: Path
) -> None:
    file = checkpoints_folder / "pixelrnn_mnist" / "best_params.npz"
    package = load_package(import_checkpoint(file, tmp_path, TOLD))
    assert nats(package.network, digits(data_folder)) == pytest.approx(PUBLISHED, abs=6e-3)


def arrays(layers: int = 1, hidden: int = 2) -> dict[str, Any]:
    """A small and random file, in the order in which lasagne lists parameters."""
    direction = [(4 * hidden, hidden, 1, 1), (4 * hidden,), (4 * hidden, hidden, 2), (1,)]
    pixel = [(hidden, hidden, 1, 1), (hidden,)]
    shapes = [
        (hidden, 1, 5, 5), (hidden,), *direction * 2 * layers, *pixel * 2,
        (1, hidden, 1, 1), (1,),
    ]  # fmt: skip
    generator = np.random.default_rng(0)
    found = {f"arr_{i}": generator.normal(size=s).astype("f4") for i, s in enumerate(shapes)}
    return dict(reversed(found.items()))  # a zip archive keeps no order


def stored(tmp_path: Path, content: dict[str, Any]) -> Path:
    np.savez(tmp_path / "best_params.npz", **content)
    return tmp_path / "best_params.npz"


def test_import_of_a_small_file(tmp_path: Path) -> None:
    content = arrays(layers=2)
    small = replace(TOLD, shape=(1, 2, 2))
    package = load_package(import_checkpoint(stored(tmp_path, content), tmp_path, small))
    assert package.manifest.hyperparameters["layers"] == 2
    state = package.network.module.state_dict()
    assert torch.equal(state["layers.1.left.state.weight"], torch.tensor(content["arr_12"]))
    bias = state["layers.0.right.state.bias"]
    assert bias.tolist() == [float(content["arr_9"][0])] * 8
    # hidden weights of the first kernel are not read: the last row has nothing but them
    assert not package.network.module.first.mask[:, :, 3:].any()


@pytest.mark.parametrize(
    ("change", "told", "message"),
    [
        ({}, {"shape": None}, "give --shape 1,28,28"),
        ({}, {"shape": (3, 4, 4)}, "give --shape 1,28,28"),
        ({"arr_16": np.zeros(3)}, {}, "no known layout"),
        ({"arr_3": np.zeros(4)}, {}, r"forward\.0\.b has shape \[4\] where \[4H"),
        ({"arr_0": np.array([{}], dtype=object)}, {}, "not unpickled"),
        ({"arr_0": np.array(["text"])}, {}, "cannot be read"),
    ],
)
def test_what_does_not_fit(
    tmp_path: Path, change: dict[str, Any], told: dict[str, Any], message: str
) -> None:
    file = stored(tmp_path, {**arrays(), **change})
    with pytest.raises(PackageError, match=message):
        import_checkpoint(file, tmp_path / "store", replace(TOLD, **told))


def test_a_file_that_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 but no more")
    (tmp_path / "b.npz").write_bytes(b"nothing of the kind")
    for name in ("a.npz", "b.npz", "absent.npz"):
        with pytest.raises(PackageError, match=name):
            read_state(tmp_path / name)
