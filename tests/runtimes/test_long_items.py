"""Items too long for one pass score as in one: by overlapping windows, or by carried caches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.packages import publish

import ancestral
from ancestral.runtimes import scorer as scorer_module
from ancestral.runtimes.appetite import peak_bytes
from ancestral.runtimes.reach import reach
from ancestral.runtimes.scorer import Scorer


def loaded(root: Path, name: str) -> ancestral.Model:
    publish(root, name)
    return ancestral.load(name, root=root)


def test_the_reach_of_a_wavenet_is_its_receptive_field(tmp_path: Path) -> None:
    # van den Oord et al. 2016, section 2.1: taps of 1, 2 and 4 back, and the shift by one
    model = loaded(tmp_path, "tiny-wavenet")
    found = reach(model.program)
    assert found is not None
    codes = torch.randint(0, 16, (1, 40))
    label = torch.tensor([1])
    changed = codes.clone()
    changed[0, 5] = (codes[0, 5] + 3) % 16
    differ = (model.network(codes, label) - model.network(changed, label)).abs().amax((0, 2, 3)) > 0
    last = int(np.flatnonzero(differ.numpy().ravel()).max())
    assert found == last - 5


@pytest.mark.parametrize("name", ["tiny-char-rnn", "tiny-wavernn", "tiny-chorales", "tiny-gpt"])
def test_where_there_is_no_receptive_field(name: str, tmp_path: Path) -> None:
    assert reach(loaded(tmp_path, name).program) is None


@pytest.mark.parametrize("name", ["tiny-wavenet", "tiny-char-rnn", "tiny-wavernn", "tiny-chorales"])
def test_a_long_item_scores_as_in_one_pass(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded(tmp_path, name)
    sites, levels = (90, model.data.levels)
    assert levels is not None
    codes = torch.randint(0, levels, (2, sites), generator=torch.Generator().manual_seed(0))
    rows = {"tiny-wavenet": [torch.tensor([1])], "tiny-wavernn": [torch.randn(1, 3, 15)]}
    conditions = rows.get(name, [])
    whole = model.scorer.per_dim(codes, conditions)
    alone = Scorer(model.network, model.conditions)  # has no program
    passes = []
    one_pass = Scorer._one_pass

    def counted(self: Scorer, *args: torch.Tensor) -> torch.Tensor:
        passes.append(args[0].shape[1])
        return one_pass(self, *args)

    model = ancestral.load(name, root=tmp_path)
    monkeypatch.setattr(scorer_module, "PASS_BYTES", _bytes_of(model, 50, conditions))
    monkeypatch.setattr(Scorer, "_one_pass", counted)
    np.testing.assert_allclose(model.scorer.per_dim(codes, conditions), whole, atol=2e-5)
    assert sum(length > 55 for length in passes) <= 1  # but for the pass that was measured
    np.testing.assert_allclose(alone.per_dim(codes, conditions), whole, atol=2e-5)


def _bytes_of(model: ancestral.Model, sites: int, conditions: list[torch.Tensor]) -> int:
    found = Scorer(model.network, model.conditions)
    return found._item_bytes(sites, conditions)


def test_peak_memory_is_that_of_what_is_alive_together() -> None:
    ones = torch.ones(1000)  # 4,000 bytes; what was there before does not count

    def run() -> torch.Tensor:
        value = ones
        for _ in range(10):
            value = value + 1  # the old one goes when the new one is there
        return value

    assert peak_bytes(run) == 8000
