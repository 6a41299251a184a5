from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from tests.api.server import Server

import ancestral

PIXELS = np.random.default_rng(1).integers(0, 2, (4, 4)) * 255
CODES = (PIXELS // 255)[None].tolist()


def png(pixels: np.ndarray[Any, Any] = PIXELS) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def wav(samples: int = 40, rate: int = 1000) -> bytes:
    buffer = io.BytesIO()
    tone = 0.5 * np.sin(np.arange(samples) / 3)
    soundfile.write(buffer, tone, rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def only(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    (result,) = answer.json()["results"]
    return dict(result)


def test_every_way_of_sending_an_item_gives_the_librarys_score(server: Server, store: Path) -> None:
    score = ancestral.load("tiny-gpt", root=store).log_prob([CODES])[0]
    files = {"png": (png(), "image/png"), "npy": (npy(np.array(CODES)), "application/x-npy")}
    answers = [server.post("/log_prob", {"model": "tiny-gpt", "inputs": [CODES]})]
    answers.append(server.post("/log_prob", {"model": "tiny-gpt", "inputs": [CODES[0]]}))
    for content, kind in files.values():
        sent = {"data": base64.b64encode(content).decode(), "content_type": kind}
        answers.append(server.post("/log_prob", {"model": "tiny-gpt", "inputs": [sent]}))
        answers.append(
            server.client.post(
                "/log_prob",
                params={"model": "tiny-gpt"},
                content=content,
                headers={"content-type": kind},
            )
        )
        answers.append(
            server.client.post(
                "/log_prob",
                data={"model": "tiny-gpt", "return": "log_prob,bits_per_dim"},
                files={"file": ("x", content, kind)},
            )
        )
    for answer in answers:
        result = only(answer)
        assert result["log_prob"] == pytest.approx(score.log_prob, rel=1e-6)
        assert result["bits_per_dim"] == pytest.approx(score.bits_per_dim, rel=1e-6)
        assert result["dimensions"] == 16


def test_a_sound_without_its_label_is_marginalised_on_request(server: Server) -> None:
    query = {"model": "tiny-wavenet"}
    headers = {"content-type": "audio/wav"}
    refused = server.client.post("/log_prob", params=query, content=wav(), headers=headers)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "condition.label"
    by_label = []
    for label in range(3):
        asked = {**query, "condition": f'{{"label": {label}}}'}
        answer = server.client.post("/log_prob", params=asked, content=wav(), headers=headers)
        by_label.append(only(answer)["log_prob"])
    asked = {**query, "marginal": "true"}
    answer = server.client.post("/log_prob", params=asked, content=wav(), headers=headers)
    expected = np.logaddexp.reduce(np.log([0.5, 0.25, 0.25]) + by_label)
    assert only(answer)["log_prob"] == pytest.approx(expected, rel=1e-5)
    assert only(answer)["marginalised"] is True


def test_maps_are_shaped_like_the_item(server: Server) -> None:
    item = np.random.default_rng(0).integers(0, 4, (3, 3, 4)).tolist()
    body = {"model": "tiny-colour", "inputs": [item], "return": ["log_prob", "per_dim", "heat_map"]}
    result = only(server.post("/log_prob", body))
    nats = np.array(result["per_dim"])
    assert nats.shape == (3, 3, 4)
    assert (nats < 0).all()
    assert nats.sum() == pytest.approx(result["log_prob"])
    with Image.open(io.BytesIO(base64.b64decode(result["heat_map"]))) as image:
        assert image.size == (4, 3)
    raw = server.post("/log_prob", body, accept="image/png")
    assert raw.content == base64.b64decode(result["heat_map"])


def test_a_map_lies_where_the_item_does(server: Server, store: Path) -> None:
    """MADE's order is a permutation: its map is by position, not by rank."""
    item = [0, 1, 1, 0, 1, 0]
    body = {"model": "tiny-made", "inputs": [item], "return": ["per_dim"]}
    told = only(server.post("/log_prob", body))["per_dim"]
    score = ancestral.load("tiny-made", root=store).log_prob([item])[0]
    np.testing.assert_allclose(told, score.per_dim[:, 0], rtol=1e-6)


def test_one_bad_item_of_several_fails_alone(server: Server) -> None:
    good = [0, 1, 0, 1, 0, 1]
    body = {"model": "tiny-made", "inputs": [good, [0, 1, 2, 0, 0, 0], [0, 1], good]}
    results = server.post("/log_prob", body).json()["results"]
    assert [result["index"] for result in results] == [0, 1, 2, 3]
    assert results[0]["log_prob"] == results[3]["log_prob"]
    for index in (1, 2):
        assert results[index]["error"]["errors"][0]["field"] == f"inputs[{index}]"


def test_conditions_stay_with_their_items_when_one_is_bad(server: Server) -> None:
    item, bad = [3] * 20, [99] * 20
    asked = {"model": "tiny-wavenet", "return": ["log_prob"]}
    labels = {"label": [0, 1, 2]}
    body = {**asked, "inputs": [item, bad, item], "condition": labels}
    first, second, third = server.post("/log_prob", body).json()["results"]
    alone = [
        only(server.post("/log_prob", {**asked, "inputs": [item], "condition": {"label": k}}))
        for k in (0, 2)
    ]
    assert "error" in second
    assert first["log_prob"] == pytest.approx(alone[0]["log_prob"], rel=1e-5)
    assert third["log_prob"] == pytest.approx(alone[1]["log_prob"], rel=1e-5)


def test_fit_says_what_it_did(server: Server) -> None:
    large = np.kron(PIXELS, np.ones((3, 3)))
    body = {
        "model": "tiny-gpt",
        "inputs": [{"data": base64.b64encode(png(large)).decode()}],
    }
    refused = server.post("/log_prob", body)
    assert refused.status_code == 422
    assert "[12, 12]" in refused.json()["detail"]
    assert "[4, 4]" in refused.json()["detail"]
    fitted = only(server.post("/log_prob", {**body, "fit": True}))
    assert any("resize" in step for step in fitted["fit"])


def test_percentiles_are_among_the_packages_reference(server: Server) -> None:
    """The reference is the scores of all 64 items, so that shares are known."""
    items = [[(k >> bit) & 1 for bit in range(6)] for k in range(64)]
    body = {"model": "known-made", "inputs": items}
    results = server.post("/log_prob", body).json()["results"]
    scores = np.array([result["log_prob"] for result in results])
    assert np.logaddexp.reduce(scores) == pytest.approx(0, abs=1e-5)  # they are all there is
    for result in results:
        below = 100 * np.mean(np.sort(scores) < result["log_prob"])
        assert result["percentile"] == pytest.approx(below, abs=100 / 64)
        assert result["reference_n"] == 64
    without = only(server.post("/log_prob", {"model": "tiny-made", "inputs": [[0] * 6]}))
    assert (without["percentile"], without["reference_n"]) == (None, 0)


def test_the_item_is_given_as_it_was_scored(server: Server) -> None:
    large = np.kron(PIXELS, np.ones((2, 2)))
    sent = {"data": base64.b64encode(png(large)).decode(), "content_type": "image/png"}
    asked = {"model": "tiny-gpt", "inputs": [sent], "fit": True, "return": ["log_prob", "data"]}
    found = only(server.post("/log_prob", asked))
    again = {"model": "tiny-gpt", "inputs": [found["data"]], "return": ["log_prob"]}
    assert only(server.post("/log_prob", again))["log_prob"] == found["log_prob"]
    assert np.shape(found["data"]) == np.shape(CODES)
