from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.packages import publish

import ancestral
from ancestral.bench.batching import batching, batching_table


@pytest.mark.parametrize("name", ["tiny-wavenet", "tiny-pixelcnn"])
def test_the_engine_beside_its_runtime(name: str, tmp_path: Path) -> None:
    publish(tmp_path, name)
    model = ancestral.load(name, root=tmp_path)
    found = batching(
        model, slots=3, load=0.8, jobs=8, sites=None, seconds=0.05, clock=time.process_time
    )
    told = found.to_json()
    assert found.direct > 0
    assert found.worker > 0
    assert 0 < found.occupancy <= found.demand + 1e-9 <= 3 + 1e-9
    assert len(found.waits) == len(found.first) == 8
    assert told["longest_wait_steps"] <= told["phase_steps"] == model.new_runtime(1).phase_sites
    assert batching_table([found]).row_count == 1


def test_models_that_need_more_than_labels_are_refused(tmp_path: Path) -> None:
    publish(tmp_path, "tiny-wavernn")
    model = ancestral.load("tiny-wavernn", root=tmp_path)
    with pytest.raises(ValueError, match="needs a series"):
        batching(model, slots=1, load=0.8, jobs=1, sites=6, seconds=0.05, clock=time.process_time)
