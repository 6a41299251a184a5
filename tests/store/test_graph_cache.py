"""Graphs kept on disk: used again as they were, and only for what they were made of."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from tests.packages import TINY, publish

import ancestral
from ancestral.store import graph_cache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANCESTRAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "graphs"


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The networks that were traced."""
    seen: list[object] = []
    capture = graph_cache.capture

    def counted(*args: object) -> object:
        seen.append(args[0])
        return capture(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(graph_cache, "capture", counted)
    return seen


def drawn(root: Path, name: str) -> np.ndarray:
    model = ancestral.load(name, root=root)
    given = {"label": 1, "mel": np.ones((3, 5)).tolist()}
    names = [condition["name"] for condition in TINY[name].get("conditions", [])]
    samples = model.sample(2, seed=4, condition={key: given[key] for key in names} or None)
    assert model.derived
    return np.asarray(samples.items)


@pytest.mark.parametrize("name", TINY)
def test_a_kept_graph_draws_the_same_values_without_tracing(
    name: str, tmp_path: Path, cache: Path, traced: list[object]
) -> None:
    publish(tmp_path, name)
    first = drawn(tmp_path, name)
    times = len(traced)
    assert times > 0
    np.testing.assert_array_equal(drawn(tmp_path, name), first)
    assert len(traced) == times
    assert not list(cache.rglob("*tmp*"))


def test_who_wants_the_same_graph_meanwhile_waits_for_it(
    tmp_path: Path, cache: Path, traced: list[object]
) -> None:
    publish(tmp_path, "tiny-made")
    models = [ancestral.load("tiny-made", root=tmp_path) for _ in range(3)]
    threads = [threading.Thread(target=model.prepare) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(traced) == 1
    assert all(model.derived for model in models)


def test_weights_stay_those_of_the_network(tmp_path: Path, cache: Path) -> None:
    publish(tmp_path, "tiny-wavenet")
    for _ in range(2):
        model = ancestral.load("tiny-wavenet", root=tmp_path)
        program = model.program
        assert program is not None
        held = {weight.data_ptr() for weight in model.network.parameters()}
        constants = [c for c in program.graph.constants.values() if c.is_floating_point()]
        assert held & {constant.data_ptr() for constant in constants}


def test_another_package_of_that_name_is_traced_anew_and_takes_the_place(
    tmp_path: Path, cache: Path, traced: list[object]
) -> None:
    publish(tmp_path, "tiny-made")
    drawn(tmp_path, "tiny-made")
    (entry,) = cache.rglob("*.safetensors")
    other = {**TINY["tiny-made"]["hyperparameters"], "hidden": [9]}
    publish(tmp_path, "tiny-made", replace=True, hyperparameters=other)
    drawn(tmp_path, "tiny-made")
    assert len(traced) == 2
    assert not entry.exists()
    assert len(list(cache.rglob("*.safetensors"))) == 1


@pytest.mark.parametrize("harm", ["cut", "nonsense", "empty"])
def test_a_damaged_entry_is_made_again(
    harm: str, tmp_path: Path, cache: Path, traced: list[object]
) -> None:
    publish(tmp_path, "tiny-made")
    first = drawn(tmp_path, "tiny-made")
    (entry,) = cache.rglob("*.safetensors")
    whole = entry.read_bytes()
    entry.write_bytes({"cut": whole[:-9], "nonsense": b"\xff" * 400, "empty": b""}[harm])
    np.testing.assert_array_equal(drawn(tmp_path, "tiny-made"), first)
    assert len(traced) == 2
    assert len(entry.read_bytes()) == len(whole)


def test_a_folder_that_cannot_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ANCESTRAL_CACHE", str(tmp_path / "file"))
    publish(tmp_path, "tiny-made")
    drawn(tmp_path, "tiny-made")
