"""Text in and out: a model of characters over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.api.server import Server

import ancestral

ALPHABET = "\n abé["
TINY = {"model": "tiny-char-rnn", "seed": 5}


def test_text_is_scored_however_it_comes(server: Server, store: Path) -> None:
    text = "[a béb\na"
    codes = [ALPHABET.index(character) for character in text]
    score = ancestral.load("tiny-char-rnn", root=store).log_prob([codes])[0]
    answers = [
        server.post("/log_prob", {"model": "tiny-char-rnn", "inputs": [text]}),
        server.post("/log_prob", {"model": "tiny-char-rnn", "inputs": [codes]}),
        server.client.post(
            "/log_prob",
            params={"model": "tiny-char-rnn"},
            content=text.encode(),
            headers={"content-type": "text/plain; charset=utf-8"},
        ),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        (result,) = answer.json()["results"]
        assert result["log_prob"] == pytest.approx(score.log_prob, rel=1e-6)


def test_samples_are_text_as_well_as_codes(server: Server) -> None:
    answer = server.post("/sample", {**TINY, "count": 2, "prefix": "bé", "sites": 9}).json()
    texts = [item["text"] for item in answer["items"]]
    for item, text in zip(answer["items"], texts, strict=True):
        assert [ALPHABET.index(character) for character in text] == item["data"]
        assert text.startswith("bé")
    plain = server.client.post(
        "/sample",
        json={**TINY, "count": 2, "prefix": "bé", "sites": 9},
        headers={"accept": "text/plain"},
    )
    assert plain.headers["content-type"] == "text/plain; charset=utf-8"
    assert plain.text == "\n".join(texts)


def test_characters_outside_the_alphabet_are_named(server: Server) -> None:
    answer = server.post("/log_prob", {"model": "tiny-char-rnn", "inputs": ["ab\naxe"]})
    assert answer.status_code == 422
    assert "character 'x' (U+0078), at 4 in line 2" in answer.json()["errors"][0]["message"]
    answer = server.post("/sample", {**TINY, "prefix": "abc"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "prefix"
    assert "character 'c'" in answer.json()["errors"][0]["message"]
    answer = server.post("/sample", {"model": "tiny-made", "prefix": "abc"})
    assert "is text" in answer.json()["errors"][0]["message"]
