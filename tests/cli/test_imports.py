from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tests.cli.conftest import Run
from tests.exports import GPT, PixelNet, exported
from torch import Tensor, nn

import ancestral
from ancestral.compile import CompileError
from ancestral.engine.model import Model
from ancestral.store import PackageError, load_package
from ancestral.store.export import read_exported


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


class Writes(nn.Conv1d):
    """It writes its weights in forward, which `torch.export` does not capture."""

    def forward(self, x: Tensor) -> Tensor:
        self.weight.data[:, :, -1] *= 0  # the tap on its own value
        return super().forward(F.pad(x[:, None], (2, 0)))[:, 0]


def test_import_of_what_the_owner_exported(run: Run, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Writes(1, 1, 3).eval()
    file = ancestral.export(
        module, torch.randn(2, 6), tmp_path / "theirs.ancestral", data="vector", shape="6",
        levels=2, likelihood="bernoulli", encode="unit",
    )  # fmt: skip
    found = run("import", file, "--name", "theirs", "--models", tmp_path / "store", "--json")
    assert found.status == 0, found.err
    model = Model(load_package(Path(found.json["path"])))
    codes = torch.randint(2, (4, 6))
    wanted = F.logsigmoid(torch.where(codes > 0, 1, -1) * module(codes.float())).sum(1)
    nats = [score.log_prob for score in model.log_prob(codes)]
    torch.testing.assert_close(torch.tensor(nats), wanted.detach())
    assert model.derived
    assert run("verify", "theirs", "--models", tmp_path / "store").status == 0


def test_a_table_of_positions_bounds_the_length(tmp_path: Path) -> None:
    module, codes = GPT(5, 5, 24).eval(), torch.zeros(1, 20, dtype=torch.int64)
    options = {"data": "sequence", "levels": 5, "likelihood": "categorical"}
    with pytest.raises(CompileError, match="say length="):
        ancestral.export(module, codes, tmp_path / "theirs.ancestral", **options)
    file = ancestral.export(module, codes, tmp_path / "theirs.ancestral", length=24, **options)
    program, told = read_exported(file)
    assert told.length == 24
    whole = torch.randint(5, (3, 24))
    torch.testing.assert_close(program.graph.run([whole])[program.graph.output], module(whole))
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(PackageError, match=r"theirs\.ancestral"):
        read_exported(file)


def test_training_mode_is_refused_before_export(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"call \.eval\(\)"):
        ancestral.export(PixelNet(1, 4), torch.randn(1, 1, 5, 4), tmp_path / "theirs.ancestral")


def test_a_graph_is_described_by_flags(run: Run, tmp_path: Path) -> None:
    file = exported(tmp_path, PixelNet(1, 4), [torch.randn(1, 1, 5, 4)])
    flags = {
        "--name": "theirs", "--data": "image", "--shape": "1x5x4", "--levels": 4,
        "--likelihood": "categorical", "--encode": "signed", "--models": tmp_path / "store",
    }  # fmt: skip

    def tried(**changes: object) -> str:
        given = {**flags, **{f"--{k.replace('_', '-')}": v for k, v in changes.items()}}
        words = [w for pair in given.items() if pair[1] is not None for w in pair]
        return run("import", file, *words).err

    assert "--name: give" in tried(name=None)
    assert "--data: give one of image, audio, vector, sequence" in tried(data=None)
    assert "--shape: give it, such as 3x32x32" in tried(shape=None)
    assert "--levels: give it; categorical is for codes" in tried(levels=None)
    assert "--likelihood: give dlm:10, categorical" in tried(likelihood=None)
    assert "--likelihood dlm: say how many components, such as dlm:10" in tried(likelihood="dlm")
    assert "--encode: the module reads real numbers; give unit" in tried(encode=None)
    assert "--encode int: the module reads torch.float32" in tried(encode="int")
    assert "--input-layout: no usual layout gives the shape [*, 1, 5, 4]" in tried(shape="1x4x5")
    assert "--params-layout: no usual layout" in tried(likelihood="bernoulli", levels=2)
    assert "--params-layout 'b h w p' does not give" in tried(params_layout="b h w p")
    assert "--predicts next needs what stands before" in tried(predicts="next")
    assert "--start: is for --predicts next" in tried(start="0")
    assert "--condition y: the module has no such input; it has x" in tried(condition="y=label:3")
    assert "INPUT=label:10" in tried(condition="x:label")
    assert not list(tmp_path.rglob("model.json"))
