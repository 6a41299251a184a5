from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from tests.api.server import Server

import ancestral

ITEMS = np.random.default_rng(4).integers(0, 2, (3, 1, 4, 4))


def test_json_and_npy_give_the_librarys_vectors(server: Server, store: Path) -> None:
    model = ancestral.load("tiny-gpt", root=store)
    for layer in (None, 2):
        body = {"model": "tiny-gpt", "inputs": ITEMS.tolist(), "layer": layer}
        expected = model.embed(ITEMS, layer=layer)
        answer = server.post("/embed", body)
        assert answer.status_code == 200, answer.text
        document = answer.json()
        assert (document["layer"], document["width"]) == (layer or 1, 8)
        found = [result["embedding"] for result in document["results"]]
        assert np.array(found) == pytest.approx(expected, rel=1e-5, abs=1e-6)
        answer = server.client.post("/embed", json=body, headers={"accept": "application/x-npy"})
        array = np.load(io.BytesIO(answer.content))
        assert (array.dtype, array.shape) == (np.float32, (3, 8))
        assert array == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_a_bad_item_fails_alone(server: Server) -> None:
    inputs = [ITEMS[0].tolist(), [[2] * 4] * 4]
    answer = server.post("/embed", {"model": "tiny-gpt", "inputs": inputs}).json()
    assert len(answer["results"][0]["embedding"]) == 8
    assert answer["results"][1]["error"]["errors"][0]["field"] == "inputs[1]"


def test_layers_that_are_not_there(server: Server) -> None:
    far = server.post("/embed", {"model": "tiny-gpt", "inputs": ITEMS.tolist(), "layer": 3})
    made = server.post("/embed", {"model": "tiny-made", "inputs": [[0] * 6]})
    for answer, text in ((far, "1 to 2"), (made, "no layers")):
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "layer"
        assert text in answer.json()["errors"][0]["message"]
