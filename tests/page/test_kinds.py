"""Texts, music and vectors on the page of a real server, held against the library."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.page.items import rounded, scored

import ancestral
from ancestral.media.midi import Midi

Open = Any  # the `tab` fixture


def test_a_text_grows_as_text_and_goes_on_from_a_beginning(tab: Open, store: Path) -> None:
    opened = tab("tiny-char-rnn")
    page = opened.page
    page.get_by_label("Begin with").fill("bé")
    page.get_by_label("Items").fill("2")
    page.get_by_label("Seed").fill("5")
    opened.sample()
    model = ancestral.load("tiny-char-rnn", root=store)
    codec = model.manifest.data.media_codec
    given = codec.encode("bé")
    expected = model.sample(2, seed=5, sites=20, prefix=given)
    texts = [codec.decode(np.asarray(item)) for item in expected.items]
    found = page.locator(".verse").evaluate_all("(all) => all.map((each) => each.textContent)")
    assert found == texts
    assert page.locator(".verse .given").first.text_content() == "bé"
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as text sample 2").click()
    assert download.value.path().read_text(encoding="utf-8") == texts[1]

    page.get_by_role("button", name="Continue sample 1").click()
    assert page.get_by_label("Begin with").input_value() == texts[0]
    opened.sample()
    assert opened.text("#sites") == "80"
    first = page.locator(".verse").first.text_content()
    assert first.startswith(texts[0])
    assert len(first) == 40


def test_a_text_of_ones_own_is_scored_by_character(tab: Open, store: Path) -> None:
    opened = tab("tiny-char-rnn")
    page = opened.page
    page.get_by_label("Your text").fill("ab é\n[a")
    page.get_by_role("button", name="Score this text").click()
    opened.scored()
    model = ancestral.load("tiny-char-rnn", root=store)
    codes = model.manifest.data.media_codec.encode("ab é\n[a")
    (score,) = model.log_prob([codes])
    assert opened.figure("#score-bits") == rounded(score.bits_per_dim)
    tinted = page.get_by_role("group", name="Surprise per character")
    assert tinted.text_content() == "ab é↵\n[a"
    tinted.focus()
    for _ in range(4):
        tinted.press("ArrowRight")
    bits = -score.per_dim[:, 0] / np.log(2)
    said = re.fullmatch(r'"é", character 4: (\S+) bits, (\S+) %', opened.text(".probe"))
    assert said is not None
    assert float(said[1]) == pytest.approx(bits[3], abs=0.011)
    assert float(said[2]) == pytest.approx(100 * 2 ** -bits[3], abs=0.11)

    note = {"name": "a.txt", "mimeType": "text/plain", "buffer": b"b\r\na"}
    scored(opened, note)
    assert tinted.text_content() == "b↵\na"
    page.get_by_role("button", name="Continue from this").click()
    assert page.get_by_label("Begin with").input_value() == "b\na"

    page.get_by_label("Your text").fill("abc")
    page.get_by_label("Your text").press("Control+Enter")
    page.get_by_role("alert").get_by_text("U+0063").first.wait_for()


def test_music_is_rolled_heard_and_saved(tab: Open, store: Path) -> None:
    opened = tab("tiny-chorales")
    page = opened.page
    page.get_by_label("Seed").fill("3")
    opened.sample()
    page.wait_for_selector('#stage[data-sound="ended"]')
    model = ancestral.load("tiny-chorales", root=store)
    expected = model.sample(1, seed=3)
    codec = model.manifest.data.media_codec
    assert isinstance(codec, Midi)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as MIDI sample 1").click()
    body = download.value.path().read_bytes()
    assert body == codec.decode(np.asarray(expected.items[0]))
    (roll,) = opened.pixels("#stage .roll")
    assert len(np.unique(roll.reshape(-1, 4), axis=0)) >= 4  # two voices on a grid

    page.get_by_role("button", name="Score sample 1").click()
    opened.scored()
    assert opened.figure("#score-bits") == rounded(opened.figure("#bits"))
    scored(opened, {"name": "mine.mid", "mimeType": "", "buffer": body})
    assert opened.figure("#score-bits") == rounded(opened.figure("#bits"))
    page.get_by_role("button", name="Continue from this").click()
    assert "Goes on from mine.mid" in opened.text("#given")
    page.get_by_label("Seed").fill("4")
    opened.sample()
    assert opened.text("#sites") == "48"
    page.get_by_role("button", name="Begin anew").click()
    assert page.locator("#given").is_hidden()


def test_a_vector_shows_its_numbers(tab: Open, store: Path) -> None:
    opened = tab("tiny-made")
    page = opened.page
    page.get_by_label("Items").fill("2")
    page.get_by_label("Seed").fill("2")
    opened.sample()
    expected = ancestral.load("tiny-made", root=store).sample(2, seed=2)
    page.get_by_role("button", name="Show sample 2").click()
    values = page.locator("#stage .row-value").all_inner_texts()
    assert [int(value) for value in values] == np.asarray(expected.items[1]).tolist()
    page.get_by_role("button", name="Score sample 2").click()
    opened.scored()
    assert opened.figure("#score-bits") == rounded(expected.bits_per_dim[1])
    bits = page.locator("#figures .row-value").all_inner_texts()
    total = sum(float(each.removesuffix(" bits").replace("−", "-")) for each in bits)
    assert abs(total - 6 * expected.bits_per_dim[1]) < 0.3
