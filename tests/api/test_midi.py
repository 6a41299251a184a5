"""MIDI in and out over HTTP."""

from __future__ import annotations

import numpy as np
import pytest
from tests.api.server import Server

from ancestral.media.midi import Midi

TINY = {"model": "tiny-chorales", "seed": 5, "sites": 12}


def test_a_sample_is_a_midi_file_that_scores_as_its_codes(server: Server) -> None:
    sampled = server.post("/sample", TINY).json()["items"][0]
    answer = server.client.post("/sample", json=TINY, headers={"accept": "audio/midi"})
    assert answer.headers["content-type"] == "audio/midi"
    codes, _ = Midi(voices=2, steps=4).encode(answer.content, fit=False)
    np.testing.assert_array_equal(codes, sampled["data"])
    scored = server.client.post(
        "/log_prob",
        params={"model": "tiny-chorales"},
        content=answer.content,
        headers={"content-type": "audio/midi"},
    )
    (result,) = scored.json()["results"]
    assert result["log_prob"] == pytest.approx(sampled["log_prob"], rel=1e-5)


def test_a_file_holds_one_item(server: Server) -> None:
    answer = server.client.post(
        "/sample", json={**TINY, "count": 2}, headers={"accept": "audio/midi"}
    )
    assert answer.status_code == 422
    assert "audio/midi holds one item, not 2" in answer.text
