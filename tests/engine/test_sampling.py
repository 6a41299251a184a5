from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from tests.chain import vector_chain
from tests.packages import publish

import ancestral
from ancestral import compile as compiler
from ancestral.engine import loaded
from ancestral.engine.sampling import bits_per_dim, collect, drive, fresh_seed
from ancestral.runtimes import SlotRequest
from ancestral.runtimes.naive import NaiveRuntime


def requests(count: int) -> list[SlotRequest]:
    return [SlotRequest(seed=1, item=item, sites=5) for item in range(count)]


def test_every_item_is_finished_though_slots_are_few() -> None:
    runtime = NaiveRuntime(vector_chain(5), 2)
    chunks = list(drive(runtime, requests(5), 2))
    samples = collect(chunks, lambda v, _: v[:, 0], seed=1, fingerprint="f", derived=False)
    assert samples.items.shape == (5, 5)
    assert runtime.free == 2
    other = collect(
        drive(NaiveRuntime(vector_chain(5), 5), requests(5), 5),
        lambda v, _: v[:, 0],
        seed=1,
        fingerprint="f",
        derived=False,
    )
    np.testing.assert_array_equal(samples.items, other.items)


def test_closing_the_iterator_gives_the_slots_back() -> None:
    runtime = NaiveRuntime(vector_chain(5), 2)
    chunks = drive(runtime, requests(3), 1)
    next(chunks)
    assert runtime.free == 0
    chunks.close()
    assert runtime.free == 2


def test_bits_per_dim() -> None:
    assert bits_per_dim(-8 * np.log(2), 8) == pytest.approx(1)


def test_drawn_seeds_are_exact_in_json() -> None:
    assert all(0 <= fresh_seed() < 2**53 for _ in range(100))


def test_threads_share_one_compilation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path, "tiny-made")
    model = ancestral.load("tiny-made", root=tmp_path)
    calls = []
    real = loaded.derive

    def counted(*arguments: object) -> compiler.StepProgram:
        calls.append(arguments)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(loaded, "derive", counted)
    threads = [threading.Thread(target=lambda: model.derived) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_a_missing_rule_falls_back_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, "tiny-made")

    def refuse(*_: object) -> compiler.StepProgram:
        raise compiler.UnsupportedOperator("aten.sort.default", "made.py:1")

    derived = ancestral.load("tiny-made", root=tmp_path)
    wanted = derived.sample(2, seed=3)
    monkeypatch.setattr(loaded, "derive", refuse)
    model = ancestral.load("tiny-made", root=tmp_path)
    samples = model.sample(2, seed=3)
    assert not samples.derived
    assert model.fallback_reason is not None
    assert "aten.sort.default" in model.fallback_reason
    assert "naive" in samples.fingerprint
    np.testing.assert_array_equal(samples.items, wanted.items)
