"""The archive of `torch.export.save` is data: read back exactly, or its fault is named."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, export, save

from ancestral.store import PackageError
from ancestral.store.graph_file import graph_text, read_graph
from ancestral.store.pt2 import read_pt2

MODEL = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"


class Small(nn.Module):
    """A shared storage, a constant, −inf among the arguments, two results of one operator."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = nn.Parameter(torch.randn(4, 6))
        self.shift = torch.arange(3.0)
        self.register_buffer("small", self.whole.detach()[:, 3:].half())

    def forward(self, x: Tensor) -> Tensor:
        a, b = (x @ self.whole).chunk(2, 1)
        with torch.no_grad():
            c = b.masked_fill(b < 0, float("-inf")).softmax(1)
        return a + c + self.shift + self.small.float().sum() + x.shape[0]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    file = tmp_path_factory.mktemp("pt2") / "small.pt2"
    module = Small().eval()
    save(export(module, (torch.randn(3, 4),), dynamic_shapes=({0: Dim("batch")},)), file)
    return file, module


def test_the_graph_is_that_of_the_module(small: tuple[Path, nn.Module], tmp_path: Path) -> None:
    file, module = small
    found = read_pt2(file)
    x = torch.randn(5, 4)
    torch.testing.assert_close(found.graph.run([x])[found.graph.output], module(x), equal_nan=True)
    assert found.graph.inputs == ("x",)
    assert isinstance(found.metas["x"].sizes[0], str)
    assert found.metas["x"].sizes[1] == 4
    sources = [node.source for node in found.graph.nodes if node.op == "aten.softmax.int"]
    assert "test_pt2.py" in sources[0]
    written = tmp_path / "graph.json"
    written.write_text(graph_text(found.graph))
    again = read_graph(written)
    assert again.nodes == found.graph.nodes
    assert {n: (t.shape, t.dtype) for n, t in again.constants.items()} == {
        n: (t.shape, t.dtype) for n, t in found.graph.constants.items()
    }


def tampered(
    file: Path, target: Path, change: Callable[[dict[str, bytes]], None], compress: bool = False
) -> Path:
    """A copy of the archive with its entries changed; names without the folder."""
    with zipfile.ZipFile(file) as archive:
        entries = {n.partition("/")[2]: archive.read(n) for n in archive.namelist()}
    change(entries)
    how = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(target, "w", how) as archive:
        for name, data in entries.items():
            archive.writestr(f"small/{name}", data)
    return target


def edited(entry: str, edit: Callable[[Any], None]) -> Callable[[dict[str, bytes]], None]:
    def change(entries: dict[str, bytes]) -> None:
        document = json.loads(entries[entry])
        edit(document)
        entries[entry] = json.dumps(document).encode()

    return change


def weight(**meta: Any) -> Callable[[dict[str, bytes]], None]:
    return edited(WEIGHTS, lambda d: d["config"]["whole"]["tensor_meta"].update(meta))


def first_node(**changes: Any) -> Callable[[dict[str, bytes]], None]:
    def edit(document: Any) -> None:
        document["graph_module"]["graph"]["nodes"][0].update(changes)

    return edited(MODEL, edit)


NAN = torch.full((24,), torch.nan).numpy().tobytes()
HUGE = [{"as_int": 1 << 20}, {"as_int": 1 << 20}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e.pop(MODEL), "models/"),
        (lambda e: e.update({MODEL: b"{"}), "model.json: is not JSON"),
        (lambda e: e.update({MODEL: b"[" * 100_000}), "model.json: is not JSON"),
        (lambda e: e.update({MODEL: b"{}"}), "is not an exported program"),
        (edited(MODEL, lambda d: d["schema_version"].update(major=99)), "has schema 99"),
        (lambda e: e.pop("data/weights/weight_0"), "data/weights/weight_0: is missing"),
        (lambda e: e.update({"data/weights/weight_0": b"12"}), "holds 2 bytes; whole"),
        (lambda e: e.update({"data/weights/weight_0": NAN}), "weight_0: whole holds NaN"),
        (weight(dtype=99), "unknown type 99"),
        (weight(dtype=8), "holds 96 bytes"),
        (weight(sizes=[{"as_int": 3}, {"as_int": 6}]), r"stored with shape \[3, 6\]"),
        (weight(sizes=HUGE, strides=[{"as_int": 0}] * 2), "too many elements"),
        (weight(strides=[{"as_int": -1}, {"as_int": 1}]), "strides"),
        (weight(storage_offset={"as_int": 1000}), "needs"),
        (weight(sizes=None), "not described as a tensor"),
        (edited(WEIGHTS, lambda d: d["config"]["whole"].update(use_pickle=True)), "is pickled"),
        (edited(WEIGHTS, lambda d: d["config"].pop("whole")), "no stored tensor for whole"),
        (first_node(inputs=[{"name": "a", "arg": {"as_tensor": {"name": "z"}}}]), "read before"),
        (first_node(inputs=[{"name": "a", "arg": {"as_custom_obj": {}}}]), "is not data"),
        (first_node(target="torch.ops.higher_order.cond"), "control flow"),
        (first_node(outputs=[{"as_tensor": {"name": "x"}}]), "computed twice"),
        (lambda e: e.update({"serialized_exported_program.json": b"{}"}), "older torch"),
    ],
)  # fmt: skip
def test_what_is_not_as_torch_writes_it(
    small: tuple[Path, nn.Module],
    tmp_path: Path,
    change: Callable[[dict[str, bytes]], None],
    message: str,
) -> None:
    file = tampered(small[0], tmp_path / "bad.pt2", change)
    with pytest.raises(PackageError, match=message) as refused:
        read_pt2(file)
    assert str(refused.value).startswith(str(file))


def test_archives_that_are_none(small: tuple[Path, nn.Module], tmp_path: Path) -> None:
    whole = small[0].read_bytes()
    bad = tmp_path / "bad.pt2"
    for data in (b"", b"not a zip", whole[: len(whole) // 2], whole[:-30]):
        bad.write_bytes(data)
        with pytest.raises(PackageError, match=r"bad\.pt2"):
            read_pt2(bad)
    with pytest.raises(PackageError, match="absent"):
        read_pt2(tmp_path / "absent.pt2")
    flipped = bytearray(whole)
    with zipfile.ZipFile(small[0]) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("weight_0"))
        flipped[whole.index(archive.read(name))] ^= 255
    bad.write_bytes(bytes(flipped))
    with pytest.raises(PackageError, match=r"weight_0.*damaged"):
        read_pt2(bad)


def test_bombs_are_not_unpacked(small: tuple[Path, nn.Module], tmp_path: Path) -> None:
    bomb = tampered(small[0], tmp_path / "bomb.pt2", lambda e: None, compress=True)
    with pytest.raises(PackageError, match="is compressed"):
        read_pt2(bomb)


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("code from an archive ran",))


def test_pickles_in_the_archive_are_left_alone(
    small: tuple[Path, nn.Module], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(Hostile(), tmp_path / "inputs")
    pickled = (tmp_path / "inputs").read_bytes()
    file = tampered(
        small[0],
        tmp_path / "pickled.pt2",
        lambda e: e.update({"data/sample_inputs/model.pt": pickled}),
    )
    assert read_pt2(file).graph.nodes
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "schema_version 2"),
        ({"output": "nowhere"}, "'nowhere' is not computed"),
        ({"constants": {"training": {"dtype": "float32", "shape": []}}}, "name of a constant"),
        ({"constants": {"p_a": {"dtype": "object", "shape": []}}}, "object"),
        ({"constants": {"p_a": {"dtype": "float32", "shape": [1 << 40]}}}, "too large"),
        ({"nodes": [{"name": "y", "op": "aten.from_file.default", "args": ["/x"]}]}, "not among"),
        ({"nodes": [{"name": "y", "op": "builtins.eval", "args": ["1"]}]}, "not among"),
        ({"nodes": [{"name": "y", "op": "aten.neg.default", "args": [{"ref": "z"}]}]}, "reads z"),
        ({"nodes": [{"name": "x", "op": "aten.neg.default", "args": []}]}, "x is there twice"),
        ({"nodes": [{"name": "y", "op": "aten.neg.default", "args": [{"code": "z"}]}]}, "argument"),
        ({"nodes": [{"name": "y", "op": "aten.neg.default", "run": 1}]}, "unknown key 'run'"),
        ({"inputs": ["x", "x"]}, "names of their own"),
    ],
)
def test_graphs_that_are_none(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    document = {"schema_version": 1, "batched": True, "inputs": ["x"], "output": "y",
                "constants": {}, "nodes": [{"name": "y", "op": "aten.neg.default",
                                            "args": [{"ref": "x"}]}]}  # fmt: skip
    file = tmp_path / "graph.json"
    file.write_text(json.dumps(document))
    assert read_graph(file).output == "y"
    file.write_text(json.dumps({**document, **change}))
    with pytest.raises(PackageError, match=message):
        read_graph(file)
