"""Sampling on the page of a real server, held against the library."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.api.server import Server
from tests.page.items import rounded

import ancestral

Open = Any  # the `tab` fixture


def test_the_canvas_holds_what_the_library_draws(tab: Open, store: Path) -> None:
    opened = tab("tiny-pixelcnn")
    opened.page.get_by_label("2", exact=True).check(force=True)
    opened.page.get_by_label("Items").fill("3")
    opened.page.get_by_label("Seed").fill("11")
    opened.sample()
    expected = ancestral.load("tiny-pixelcnn", root=store).sample(
        3, seed=11, condition={"label": 2}
    )
    pixels = opened.pixels("#stage canvas")
    levels = np.array([0, 85, 170, 255])
    for item in range(3):
        grey = levels[np.asarray(expected.items[item])[0]]
        np.testing.assert_array_equal(pixels[item, :, :, 0], grey)
        np.testing.assert_array_equal(pixels[item, :, :, 2], grey)
        caption = opened.page.locator(".tile .caption").nth(item).inner_text()
        assert float(caption) == rounded(expected.bits_per_dim[item])
    assert opened.figure("#bits") == rounded(np.mean(expected.bits_per_dim))
    assert (opened.text("#sites"), opened.text("#sites-total")) == ("60", "of 60")
    assert "seed 11" in opened.text("#trail")


def test_each_class_and_colours(tab: Open, store: Path) -> None:
    opened = tab("tiny-pixelcnn")
    opened.page.get_by_label("each").check(force=True)
    assert opened.page.get_by_label("Items").input_value() == "3"
    opened.page.get_by_label("Seed").fill("5")
    opened.sample()
    model = ancestral.load("tiny-pixelcnn", root=store)
    expected = model.sample(3, seed=5, condition={"label": [0, 1, 2]})
    for item, canvas in enumerate(opened.pixels("#stage canvas")):
        np.testing.assert_array_equal(canvas[:, :, 0] // 85, np.asarray(expected.items[item])[0])

    opened.page.get_by_label("tiny-colour").check(force=True)
    opened.sample()
    colour = ancestral.load("tiny-colour", root=store).sample(1, seed=5)
    (canvas,) = opened.pixels("#stage canvas")
    rgb = np.moveaxis(np.asarray(colour.items[0]), 0, -1) * 85
    np.testing.assert_array_equal(canvas[:, :, :3], rgb)


def test_a_class_among_many_is_typed(tab: Open, store: Path) -> None:
    opened = tab("tiny-many")
    opened.page.get_by_role("spinbutton", name="label").fill("37")
    opened.page.get_by_label("Seed").fill("5")
    opened.sample()
    model = ancestral.load("tiny-many", root=store)
    expected = model.sample(1, seed=5, condition={"label": 37})
    (canvas,) = opened.pixels("#stage canvas")
    np.testing.assert_array_equal(canvas[:, :, 0] // 85, np.asarray(expected.items[0])[0])


def test_a_name_among_many_is_picked_from_a_list(tab: Open, store: Path) -> None:
    opened = tab("tiny-words")
    opened.page.locator("#conditions").get_by_role("combobox").select_option("word 37")
    opened.page.get_by_label("Seed").fill("5")
    opened.sample()
    expected = ancestral.load("tiny-words", root=store).sample(1, seed=5, condition={"word": 37})
    (canvas,) = opened.pixels("#stage canvas")
    np.testing.assert_array_equal(canvas[:, :, 0] // 85, np.asarray(expected.items[0])[0])


def test_every_label_has_a_choice_of_its_own(tab: Open, store: Path) -> None:
    opened = tab("tiny-two")
    group = opened.page.get_by_role("group", name="voice")
    group.get_by_label("high", exact=True).check(force=True)
    opened.page.get_by_role("group", name="label").get_by_label("each").check(force=True)
    opened.page.get_by_label("Seed").fill("4")
    opened.sample()
    model = ancestral.load("tiny-two", root=store)
    expected = model.sample(3, seed=4, condition={"label": [0, 1, 2], "voice": 1})
    for item, canvas in enumerate(opened.pixels("#stage canvas")):
        np.testing.assert_array_equal(canvas[:, :, 0] // 85, np.asarray(expected.items[item])[0])
    opened.page.get_by_role("button", name="Sample 2").click()
    opened.scored()
    assert "label 1, voice high" in opened.text("#score-notes")
    voice = opened.page.locator("#known").get_by_role("combobox", name="voice")
    assert voice.locator("option").all_inner_texts() == ["unknown: all summed", "low", "high"]


def test_a_sound_is_drawn_heard_and_scored(tab: Open, store: Path) -> None:
    opened = tab("tiny-speech")
    opened.page.evaluate(
        """() => {
            window.handed = [];
            const post = MessagePort.prototype.postMessage;
            MessagePort.prototype.postMessage = function (data, ...rest) {
                if (data instanceof Float32Array) window.handed.push(...data);
                return post.call(this, data, ...rest);
            };
        }"""
    )
    opened.page.get_by_label("Seed").fill("3")
    opened.sample()
    opened.page.wait_for_selector('#stage[data-sound="ended"]')
    model = ancestral.load("tiny-speech", root=store)
    expected = model.sample(1, seed=3, condition={"label": 0}).items[0]
    codec = model.manifest.data.media_codec
    samples = opened.page.evaluate("() => window.handed")
    np.testing.assert_allclose(samples, codec.decode(np.asarray(expected)), atol=1e-6)
    waves, spectra = (opened.pixels(f"#stage .{name}")[0] for name in ("waves", "spectra"))
    assert (waves[:, :, 3] > 0).any(axis=0).all()
    assert (spectra[:, :, 3] == 255).all()
    with opened.page.expect_download() as download:
        opened.page.get_by_role("button", name="Save as WAV").click()
    with wave.open(str(download.value.path())) as file:
        assert (file.getframerate(), file.getnframes()) == (8000, 2000)

    opened.page.get_by_role("button", name="Score sample 1").click()
    opened.scored()
    assert opened.figure("#score-bits") == rounded(opened.figure("#bits"))


def test_what_was_drawn_until_a_stop_is_played(tab: Open) -> None:
    """Half a minute at least: no frame of the page comes too late to show the playhead."""
    opened = tab("tiny-speech")
    page = opened.page
    opened.long_job(sites=240_000)
    page.keyboard.press("Escape")
    opened.ended()
    page.get_by_role("button", name="Play sample 1").click()
    page.wait_for_selector('#stage[data-sound="playing"] .head')
    page.get_by_role("button", name="Play sample 1").click()  # it says Stop now
    page.wait_for_selector('#stage[data-sound="idle"]')
    assert page.locator("#stage .head").is_hidden()


def test_sounds_too_slow_for_browsers_and_vectors(tab: Open, store: Path) -> None:
    opened = tab("tiny-wavenet")  # 1000 Hz
    opened.sample()
    opened.page.wait_for_selector('#stage[data-sound="ended"]')
    opened.page.get_by_label("tiny-made").check(force=True)
    opened.page.get_by_label("Seed").fill("2")
    opened.sample()
    opened.page.get_by_role("button", name="Score sample 1").click()
    opened.scored()
    expected = ancestral.load("tiny-made", root=store).sample(1, seed=2)
    assert opened.figure("#score-bits") == rounded(expected.bits_per_dim[0])


@pytest.mark.parametrize("how", ["button", "escape", "another model"])
def test_a_stopped_job_gives_its_slot_back(tab: Open, server: Server, how: str) -> None:
    opened = tab("tiny-speech")
    opened.long_job()
    if how == "button":
        opened.page.get_by_role("button", name="Stop").first.click()
    elif how == "escape":
        opened.page.keyboard.press("Escape")
    else:
        opened.page.get_by_label("tiny-gpt").check(force=True)
    opened.ended()
    server.standstill()
    if how != "another model":
        assert opened.text("#announce") == "Stopped."
        assert opened.page.get_by_role("button", name="Play sample 1").is_visible()
