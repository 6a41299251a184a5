from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.cli.conftest import Run

from ancestral.store import load_package


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A WaveNet of one layer in the layout of early 2017."""
    shapes = {
        "start_conv.weight": (2, 1, 1),
        "dilated_convs.0.weight": (4, 2, 2),
        "residual_convs.0.weight": (2, 2, 1),
        "skip_convs.0.weight": (3, 2, 1),
        "end_conv.weight": (16, 3, 1),
        "end_conv.bias": (16,),
    }
    file = tmp_path / "model.pt"
    torch.save({name: torch.ones(shape) for name, shape in shapes.items()}, file)
    return file


def test_import(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    options = ("--name", "mine", "--sample-rate", 8000, "--models", tmp_path / "store", "--json")
    found = run("import", checkpoint, "--dilations", 1, *options)
    assert found.status == 0, found.err
    package = load_package(Path(found.json["path"]))
    assert package.manifest.provenance.command == (
        "ancestral import model.pt --name mine --dilations 1 --sample-rate 8000"
    )
    again = run("import", checkpoint, "--dilations", 1, *options)
    assert again.status == 2
    assert "this version exists already" in again.err


def test_what_is_missing_is_asked_for(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    options = ("import", checkpoint, "--name", "mine", "--models", tmp_path)
    assert "give --sample-rate" in run(*options).err
    assert "give --dilations" in run(*options, "--sample-rate", 8000).err
    assert "whole numbers" in run(*options, "--dilations", "1,x").err
    assert "at least 1" in run(*options, "--dilations", "1,0").err
