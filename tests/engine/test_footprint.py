from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ancestral.engine.footprint import TooLarge, distinct_bytes, footprint, weight_bytes
from ancestral.engine.limits import Limits
from ancestral.engine.model import Model, load

VALUE = 18  # bytes kept of each value of a running item: code, nats, two flags


def test_a_wavenet_slot_holds_its_queues(packages: Path) -> None:
    # Paine et al. 2016, Fast Wavenet: a layer of dilation d remembers d states; 6 channels, float64
    wavenet = load("long-wavenet", root=packages, runtime="reference")  # native pads to vectors
    found = footprint(wavenet, Limits())
    queues = found.slot - VALUE * wavenet.default_sites
    assert 8 * 6 * (1 + 2 + 4) <= queues <= 8 * 6 * (1 + 2 + 4) + 8 * 64


def test_slots_follow_from_the_memory(pixelcnn: Model) -> None:
    plenty = footprint(pixelcnn, Limits(slots=32))
    assert plenty.slots == 32
    assert plenty.total == plenty.weights + 32 * plenty.slot
    few = footprint(pixelcnn, Limits(slots=32, slot_bytes=5 * plenty.slot + 1))
    assert (few.slots, few.weights) == (5, plenty.weights)
    least = plenty.weights + plenty.slot
    fewer = Limits(memory=least + 2 * plenty.slot)
    assert footprint(pixelcnn, fewer).slots == 3
    assert footprint(pixelcnn, fewer).total == fewer.memory
    with pytest.raises(TooLarge, match="ANCESTRAL_MEMORY_BYTES"):
        footprint(pixelcnn, replace(fewer, memory=least - 1))


@pytest.mark.parametrize("kind", ["reference", pytest.param("native", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["pixelcnn", "wavenet"])
def test_weights_are_there_once_however_many_streams(
    name: str, kind: str, request: pytest.FixtureRequest
) -> None:
    model: Model = request.getfixturevalue(name)
    few, many = (model.new_runtime(slots, kind) for slots in (1, 64))  # type: ignore[arg-type]
    own = [*model.network.parameters(), *model.network.buffers()]
    assert distinct_bytes(own) == sum(t.nbytes for t in model.network.state_dict().values())
    assert weight_bytes(model, few) == weight_bytes(model, many)
    assert distinct_bytes([*own, *few.weights, *many.weights]) == weight_bytes(model, few)
