from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ancestral.store import (
    Manifest,
    PackageError,
    find,
    list_packages,
    load_package,
    read_manifest,
    save_package,
)
from ancestral.store.package import build

MANIFEST: dict[str, Any] = {
    "schema_version": 1,
    "name": "tiny",
    "version": 1,
    "family": "wavenet",
    "hyperparameters": {"dilations": [1, 2], "residual": 4, "skip": 4},
    "data": {
        "kind": "audio",
        "levels": 16,
        "codec": {
            "kind": "mu-law",
            "mu": 15,
            "levels": 16,
            "rounding": "nearest",
            "decode_points": "grid",
        },
        "sample_rate": 8000,
        "length": {"default": 100, "maximum": 1000},
    },
    "likelihood": {"kind": "categorical", "levels": 16},
    "conditions": [{"name": "digit", "kind": "label", "classes": 3}],
    "order": "time",
    "input_encoding": "int",
    "params_layout": "channels-first",
    "reference": {"unit": "-bits/dim", "scores": [-3.0, -2.5]},
    "provenance": {"data": "noise", "licence": "CC0-1.0", "command": "none", "seed": 1},
}


def manifest(**changes: Any) -> Manifest:
    return Manifest.model_validate_json(json.dumps({**MANIFEST, **changes}))


def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    network, _ = build(manifest(), Path("model.json"))
    return dict(network.module.state_dict())


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return save_package(tmp_path, manifest(), tensors(), "# tiny\n")


def test_round_trip(package: Path) -> None:
    loaded = load_package(package)
    assert loaded.manifest == manifest()
    assert loaded.order is None
    assert loaded.data.levels == 16
    assert loaded.conditions[0].classes == 3
    assert not any(parameter.requires_grad for parameter in loaded.network.parameters())
    for name, tensor in tensors().items():
        assert torch.equal(loaded.network.module.state_dict()[name], tensor)
    assert sorted(child.name for child in package.parent.iterdir()) == ["1"]


def test_half_precision_is_widened(tmp_path: Path) -> None:
    path = save_package(tmp_path, manifest(), tensors(), "", dtype=torch.float16)
    assert {t.dtype for t in load_file(path / "model.safetensors").values()} == {torch.float16}
    state = load_package(path).network.module.state_dict()
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    assert torch.equal(state["final.0.bias"], tensors()["final.0.bias"].half().float())


def test_versions(package: Path, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="exists already"):
        save_package(tmp_path, manifest(), tensors(), "")
    save_package(tmp_path, manifest(), tensors(), "replaced", replace=True)
    assert (package / "README.md").read_text() == "replaced"
    for version in (2, 10):
        save_package(tmp_path, manifest(version=version), tensors(), "")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "tiny" / "03").mkdir()
    (entry,) = list_packages(tmp_path)
    assert (entry.name, entry.versions, entry.default) == ("tiny", (1, 2, 10), 10)
    assert find("tiny", tmp_path).name == "10"
    assert find("tiny/2", tmp_path) == find("tiny", tmp_path, 2)
    (tmp_path / "tiny" / "default_version").write_text("2\n")
    assert find("tiny", tmp_path).name == "2"
    (tmp_path / "tiny" / "default_version").write_text("7")
    assert [entry.default for entry in list_packages(tmp_path)] == [10]  # the others are shown
    with pytest.raises(PackageError, match=r"default_version: pins version '7'"):
        find("tiny", tmp_path)


@pytest.mark.parametrize(
    "name", ["../tiny", "tiny/../tiny", "/etc", "", "tiny/x", "Tiny", "tiny/1/..", ".tiny", "a b"]
)
def test_names_are_no_paths(package: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(PackageError, match="is not the name of a model"):
        find(name, tmp_path)


def test_unknown_names_and_versions(package: Path, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="no model 'other'; there are: tiny"):
        find("other", tmp_path)
    with pytest.raises(PackageError, match="no model 'tinny'; perhaps 'tiny'; there are: tiny"):
        find("tinny", tmp_path)
    with pytest.raises(PackageError, match="no version 4; there are: 1"):
        find("tiny", tmp_path, 4)
    with pytest.raises(PackageError, match="no such folder"):
        list_packages(tmp_path / "absent")


def edit(package: Path, **changes: Any) -> None:
    document = {**MANIFEST, **changes}
    text = json.dumps({key: value for key, value in document.items() if value is not ...})
    (package / "model.json").write_text(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": 1}, "colour: there is no such key"),
        ({"family": ...}, "family: Field required"),
        ({"schema_version": 2}, "schema_version"),
        ({"version": "1"}, "version"),
        ({"version": 2}, "calls itself tiny/2, but lies in tiny/1"),
        ({"name": "../x"}, "name '../x'"),
        ({"family": "diffusion"}, "unknown family 'diffusion'; known: .*wavenet"),
        ({"hyperparameters": {"dilations": [1], "residual": 4}}, "hyperparameters of wavenet"),
        (
            {"hyperparameters": {**MANIFEST["hyperparameters"], "x": 1}},
            "hyperparameters of wavenet",
        ),
        ({"likelihood": {"kind": "categorical", "levels": 8}}, "likelihood has 8 levels"),
        ({"likelihood": {"kind": "poisson"}}, "likelihood: unknown kind 'poisson'"),
        ({"likelihood": {"kind": "categorical", "levels": 16, "x": 1}}, "likelihood: "),
        ({"order": "raster"}, "order 'raster' does not fit audio"),
        ({"order": [0, 1]}, "permutation"),
        ({"input_encoding": "base64"}, "input_encoding"),
        ({"params_layout": "channels-last"}, "hyperparameters of wavenet: .*channels"),
        ({"conditions": [{"name": "digit", "kind": "label"}]}, "classes"),
        (
            {"conditions": [{"name": "d", "kind": "label", "classes": 2, "prior": [0.5, 0.6]}]},
            "prior",
        ),
        *(
            ({"conditions": [{"name": "d", "kind": "label", "classes": 2, "names": names}]}, told)
            for names, told in (
                (["cat"], "another name for each class"),
                (["cat", "cat"], "another name for each class"),
                (["cat", "2"], r"names\.1"),
                (["cat", "dog, or so"], r"names\.1"),
            )
        ),
        ({"conditions": MANIFEST["conditions"] * 2}, "same name"),
        ({"reference": {"unit": "nats", "scores": [1.0, 0.5]}}, "ascending"),
        ({"reference": {"unit": "nats", "scores": []}}, "scores"),
        ({"data": {**MANIFEST["data"], "sample_rate": None}}, "sample_rate"),
        ({"data": {**MANIFEST["data"], "shape": [3]}}, "shape"),
        ({"data": {**MANIFEST["data"], "length": None}}, "length"),
        ({"data": {**MANIFEST["data"], "length": {"default": 9, "maximum": 5}}}, "exceeds"),
    ],
)
def test_bad_manifests_are_one_clear_error(
    package: Path, changes: dict[str, Any], message: str
) -> None:
    edit(package, **changes)
    with pytest.raises(PackageError, match=rf"model\.json: .*{message}") as caught:
        load_package(package)
    assert caught.value.path == package / "model.json"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": NaN}', "\x00\xff"])
def test_bad_json(package: Path, text: str) -> None:
    (package / "model.json").write_text(text)
    with pytest.raises(PackageError, match=r"model\.json"):
        read_manifest(package)


def test_files_that_are_not_there(package: Path) -> None:
    (package / "model.safetensors").unlink()
    with pytest.raises(PackageError, match=r"model\.safetensors"):
        load_package(package)
    (package / "model.json").unlink()
    with pytest.raises(PackageError, match=r"model\.json: cannot be read"):
        load_package(package)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("final.0.bias", None, "missing tensor final.0.bias"),
        ("other", torch.zeros(1), "unexpected tensor other"),
        ("final.0.bias", torch.zeros(7), r"final.0.bias has shape \[7\] where \[4\] is expected"),
        ("final.0.bias", torch.full((4,), torch.nan), "final.0.bias holds NaN"),
        ("final.0.bias", torch.full((4,), torch.inf), "final.0.bias holds NaN or infinite"),
        ("final.0.bias", torch.zeros(4, dtype=torch.int64), "is torch.int64 where torch.float32"),
    ],
)
def test_bad_weights_are_one_clear_error(
    package: Path, name: str, tensor: torch.Tensor | None, message: str
) -> None:
    stored = tensors()
    stored.pop(name, None)
    if tensor is not None:
        stored[name] = tensor
    save_file(stored, package / "model.safetensors")
    with pytest.raises(PackageError, match=rf"model\.safetensors: .*{message}"):
        load_package(package)


@pytest.mark.parametrize("content", [b"", b"\x00" * 7, b"\xff" * 64, b"\x80\x04."])
def test_broken_weight_files(package: Path, content: bytes) -> None:
    (package / "model.safetensors").write_bytes(content)
    with pytest.raises(PackageError, match=r"model\.safetensors: cannot be read"):
        load_package(package)


def test_truncated_weight_files(package: Path) -> None:
    file = package / "model.safetensors"
    whole = file.read_bytes()
    for length in range(0, len(whole), 97):
        file.write_bytes(whole[:length])
        with pytest.raises(PackageError, match=r"model\.safetensors: cannot be read"):
            load_package(package)


def test_nothing_is_published_that_does_not_load(tmp_path: Path) -> None:
    broken = {**tensors(), "final.0.bias": torch.full((4,), torch.nan)}
    with pytest.raises(PackageError, match="NaN"):
        save_package(tmp_path, manifest(), broken, "")
    assert list((tmp_path / "tiny").iterdir()) == []


def test_a_permutation_is_an_order(tmp_path: Path) -> None:
    shape = {"kind": "vector", "shape": [4], "levels": 2}
    built = manifest(
        family="wavenet",
        data=shape,
        likelihood={"kind": "categorical", "levels": 2},
        conditions=[],
        order=[2, 0, 3, 1],
    )
    network, _ = build(built, tmp_path)
    path = save_package(tmp_path, built, network.module.state_dict(), "")
    order = load_package(path).order
    assert order is not None
    assert (order == np.array([2, 0, 3, 1])).all()
