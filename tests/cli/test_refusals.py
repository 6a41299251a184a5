"""Bad input: one line that names it on standard error, nothing on standard output, status 2."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Run

NOT_THERE = "No such file or directory"


@pytest.fixture(scope="module")
def place(small_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with things in it that are not what they should be."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "empty").mkdir()
    (folder / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "cut.pt2").write_bytes(b"PK")
    (folder / "lines.jsonl").write_text("{}\n")
    (folder / "a.toml").write_text('slots = "many"\n')
    (folder / "b.toml").write_text("slots = \n")
    return folder


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens at."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield held.getsockname()[1]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("score tiny-wavenet {p}/empty", "{p}/empty: holds no PNG"),
        ("score tiny-wavenet {p}/cut.png --csv {p}/no/x.csv", "there is no folder {p}/no"),
        ("score tiny-wavenet {p}/cut.png --map {p}/cut.png", "{p}/cut.png is no folder"),
        ("score ../tiny-wavenet {p}/cut.png", "'../tiny-wavenet' is not the name of a model"),
        ("score tiny-wavenet {p}/cut.png -c label", "--condition label: NAME=VALUE is expected"),
        ("score tiny-wavenet {p}/cut.png -c label=[x", "'[x' is not JSON"),
        ("score tiny-wavenet {p}/cut.png -c mel={p}/no.npy", "{p}/no.npy: " + NOT_THERE),
        ("sample tiny-wavenet -o {p}/no/x.wav", "{p}/no/x.wav: there is no folder {p}/no"),
        ("sample tiny-wavenet -o {p}/x.png", "ends in json, npy, wav"),
        ("embed tiny-wavenet {p}/cut.png -o {p}/empty", "{p}/empty: is a folder"),
        ("train {p}/no.toml -o {p}", "{p}/no.toml: cannot be read: " + NOT_THERE),
        ("import {p}/no.pt2 --name x", "{p}/no.pt2: there is no such file"),
        ("import {p}/cut.pt2 --name x", "{p}/cut.pt2: is not a .pt2 archive"),
        ("import {p}/cut.png --name x", "{p}/cut.png: is no checkpoint"),
        ("export tiny-wavenet --onnx {p}/cut.png/graphs", "{p}/cut.png is no folder"),
        ("batch {p}/no.jsonl {p}/out.jsonl", "{p}/no.jsonl: " + NOT_THERE),
        ("batch {p}/lines.jsonl {p}/no/out.jsonl", "there is no folder {p}/no"),
        (
            "batch {p}/lines.jsonl {p}/out.jsonl --broker redis://127.0.0.1:9",
            "the broker does not answer",
        ),
        ("bench serve 127.0.0.1:9", "as http://127.0.0.1:8000"),
        ("bench serve http://127.0.0.1:9", "no server answers: "),
        ("bench start --model nobody", "there is no model 'nobody'"),
        ("settings --config {p}/no.toml", "{p}/no.toml: " + NOT_THERE),
        ("settings --config {p}/a.toml", "{p}/a.toml: slots: "),
        ("settings --config {p}/b.toml", "{p}/b.toml is not TOML: "),
        ("settings --device gpu", "--device): is not what is expected (where networks run"),
        ("serve --preload nobody --port 0", "--preload): nobody is not among the packages"),
        ("serve --host 192.0.2.1 --allow-anonymous", "192.0.2.1:8000 cannot be listened at"),
        ("serve --port {port}", "127.0.0.1:{port} cannot be listened at: Address already in use"),
    ],
)
def test_one_line_says_what(
    run: Run,
    small_store: Path,
    place: Path,
    taken: int,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    words: str,
) -> None:
    monkeypatch.setenv("ANCESTRAL_MODELS", str(small_store))
    named = {"p": place, "port": taken}
    found = run(*line.format(**named).split())
    assert (found.status, found.out) == (2, "")
    assert found.err.startswith("error: ")
    assert words.format(**named) in found.err
    assert found.err.count("\n") == 1
    assert "Error: " not in found.err


def test_a_broken_package_does_not_hide_the_others(
    run: Run, small_store: Path, tmp_path: Path
) -> None:
    store = shutil.copytree(small_store, tmp_path / "store")
    (store / "tiny-wavenet" / "1" / "model.json").write_text("{")
    found = run("models", "list", "--models", store, "--json")
    assert found.status == 1
    told = {entry["name"]: entry for entry in found.json}
    assert set(told) == {"tiny-pixelcnn", "tiny-wavenet", "tiny-wavernn"}
    assert "model.json" in told["tiny-wavenet"]["error"]
    assert told["tiny-pixelcnn"]["family"] == "gated-pixelcnn"
    shown = run("models", "list", "--models", store)
    assert (shown.status, "gated-pixelcnn" in shown.out) == (1, True)


def test_a_reader_that_has_read_enough(small_store: Path) -> None:
    """`ancestral models list | head` ends quietly."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "ancestral.cli.main", "models", "list"]
    done = subprocess.run(
        [*command, "--models", small_store, "--json"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_package_of_random_weights_as_json(run: Run, tmp_path: Path) -> None:
    found = run("bench", "package", "wavenet-30", tmp_path, "--json")
    assert found.json == {"model": "wavenet-30/1", "path": str(tmp_path / "wavenet-30" / "1")}
    assert json.loads((tmp_path / "wavenet-30" / "1" / "model.json").read_text())["version"] == 1
