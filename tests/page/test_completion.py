"""Completing, continuing and ranking on the page of a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tests.page.items import png, rounded, scored, wav

import ancestral
from ancestral.engine.recordings import read_condition

Open = Any  # the `tab` fixture
PATH = "(paths) => paths.map((path) => path.getAttribute('d'))"


def test_a_picture_is_completed_around_what_is_kept(tab: Open, store: Path) -> None:
    codes = np.arange(16).reshape(4, 4) % 2
    opened = tab("tiny-gpt")
    page = opened.page
    scored(opened, png((codes * 255).astype(np.uint8)))
    page.get_by_role("button", name="Hide a part and complete it").click()
    page.get_by_label("Items").fill("3")
    page.get_by_label("Seed").fill("6")
    opened.sample()
    known = codes.astype(object)
    known[2:] = None
    model = ancestral.load("tiny-gpt", root=store)
    expected = model.sample(3, seed=6, known=np.where(codes >= 0, known, 0)[None].tolist())
    for item, canvas in enumerate(opened.pixels("#stage canvas")):
        np.testing.assert_array_equal(canvas[:, :, 0] // 255, np.asarray(expected.items[item])[0])
        np.testing.assert_array_equal(canvas[:2, :, 0] // 255, codes[:2])
        (outline,) = page.locator(".outlined .over").nth(item).evaluate_all(PATH)
        assert outline == "M0 2h1M1 2h1M2 2h1M3 2h1"  # between the second row and the third
    assert page.locator(".outlined").count() == 3


def test_a_picture_of_ones_own_has_several_completions(tab: Open) -> None:
    opened = tab("tiny-gpt")
    page = opened.page
    page.get_by_label("Complete a picture of yours").set_input_files(
        png(np.eye(4, dtype=np.uint8) * 255)
    )
    page.wait_for_selector("#easel:not([hidden])")
    opened.sample()
    completions = opened.pixels("#stage canvas")
    assert len(completions) == 4
    for each in completions:
        np.testing.assert_array_equal(each[:2, :, 0], np.eye(4)[:2] * 255)


def test_a_picture_is_drawn_by_keys(tab: Open) -> None:
    opened = tab("tiny-gpt")
    page = opened.page
    page.get_by_role("button", name="Give a part of the picture").press("Enter")
    page.get_by_label("hide", exact=True).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.get_by_label("ink", exact=True).is_checked()
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.id") == "easel-canvas"
    page.keyboard.press("ArrowUp")  # from the middle, row 3 and column 3, to row 2
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowUp")
    assert opened.text("#announce") == "Row 1, column 2: given"
    opened.sample()
    (canvas,) = opened.pixels("#stage canvas")
    assert (canvas[:2, 1, 0] == 255).all()


def test_a_picture_is_drawn_by_hand(tab: Open) -> None:
    opened = tab("tiny-gpt")
    page = opened.page
    page.get_by_role("button", name="Give a part of the picture").click()
    page.get_by_label("ink", exact=True).check(force=True)
    page.locator("#easel-canvas").scroll_into_view_if_needed()
    box = page.locator("#easel-canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 8, box["y"] + box["height"] / 8)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 7 / 8, box["y"] + box["height"] / 8)
    page.mouse.up()
    opened.sample()
    (canvas,) = opened.pixels("#stage canvas")
    assert (canvas[0, :, 0] == 255).all()


def test_several_files_are_ranked(tab: Open, store: Path) -> None:
    opened = tab("tiny-pixelcnn")
    page = opened.page
    rng = np.random.default_rng(3)
    items = [rng.integers(0, 4, (5, 4)) for _ in range(9)]
    files = [
        {**png((item * 85).astype(np.uint8)), "name": f"{i}.png"} for i, item in enumerate(items)
    ]
    files.append({"name": "note.txt", "mimeType": "text/plain", "buffer": b"x"})
    page.set_input_files("#file", files)
    page.wait_for_selector('#score[aria-busy="false"] #ranking:not([hidden])')
    page.get_by_role("button", name="Bits/dim").click()
    rows = page.locator("#ranking tbody tr")
    scores = ancestral.load("tiny-pixelcnn", root=store).log_prob(
        [item[None] for item in items], marginal=True
    )
    order = np.argsort([score.bits_per_dim for score in scores])
    cells = [rows.nth(i).inner_text().split() for i in range(9)]
    assert [cell[0] for cell in cells] == [f"{i}.png" for i in order]
    bits = [float(cell[1]) for cell in cells]
    assert bits == rounded([scores[i].bits_per_dim for i in order])
    assert "note.txt" in rows.nth(9).inner_text()

    page.get_by_role("button", name=f"{order[4]}.png").click()
    opened.scored()
    assert opened.figure("#score-bits") == rounded(scores[order[4]].bits_per_dim)
    told = page.locator("#histogram .bins").get_attribute("aria-label")
    assert told.startswith("Held-out items from")
    assert "nats" in told


def test_a_recording_says_what_is_to_be_spoken(tab: Open, store: Path) -> None:
    sound = wav(np.rint(np.sin(np.arange(240) / 3) * 12000), 1000)
    opened = tab("tiny-wavernn")
    page = opened.page
    page.get_by_label("mel", exact=True).set_input_files(sound)
    page.get_by_label("Seed").fill("3")
    opened.sample()
    model = ancestral.load("tiny-wavernn", root=store)
    mel, _ = read_condition(sound["buffer"], "mel", model.manifest, "audio/wav")
    expected = model.sample(1, seed=3, condition={"mel": mel})
    assert opened.figure("#bits") == rounded(expected.bits_per_dim[0])
    assert opened.text("#sites") == str(len(expected.items[0]))
    page.get_by_role("button", name="Score sample 1").click()
    opened.scored()
    assert opened.figure("#score-bits") == rounded(opened.figure("#bits"))
    assert "mel" in opened.text("#score-notes")


def test_a_recording_dropped_on_its_field_is_not_scored(tab: Open, tmp_path: Path) -> None:
    sound = wav(np.rint(np.sin(np.arange(240) / 3) * 12000), 1000)
    (tmp_path / "a.wav").write_bytes(sound["buffer"])
    page = tab("tiny-wavernn").page
    field = page.get_by_label("mel", exact=True)
    box = field.bounding_box()
    dragged = {
        "x": box["x"] + box["width"] / 2,
        "y": box["y"] + box["height"] / 2,
        "data": {"items": [], "files": [str(tmp_path / "a.wav")], "dragOperationsMask": 1},
    }
    page.evaluate(
        """() => {
            window.met = [];
            for (const step of ["dragover", "drop"]) addEventListener(step, () => met.push(step));
        }"""
    )
    browser = page.context.new_cdp_session(page)
    for step in ("dragEnter", "dragOver"):
        browser.send("Input.dispatchDragEvent", {"type": step, **dragged})
    page.wait_for_function("met.includes('dragover')")  # by the page's own listeners before
    assert page.locator("#veil").is_hidden()
    browser.send("Input.dispatchDragEvent", {"type": "drop", **dragged})
    page.wait_for_function("field => field.files.length === 1", arg=field.element_handle())
    page.wait_for_function("met.includes('drop')")
    assert page.locator("#score").get_attribute("aria-busy") == "false"  # nothing was asked
    assert page.locator("#result").is_hidden()


def test_a_recording_of_any_rate_says_it(tab: Open) -> None:
    opened = tab("tiny-wavernn")
    fast = wav(np.rint(np.sin(np.arange(960) / 12) * 12000), 4000)
    opened.page.get_by_label("mel", exact=True).set_input_files(fast)
    opened.sample()
    assert opened.text("#sites") == "240"
    assert "mel: resampled 4000 Hz to 1000 Hz" in opened.text("#trail")


def test_a_recording_of_ones_own_goes_on(tab: Open, store: Path) -> None:
    opened = tab("tiny-speech")
    page = opened.page
    samples = np.rint(np.sin(np.arange(400) / 9) * 16000)
    page.get_by_label("Continue a recording of yours").set_input_files(wav(samples, 8000))
    page.get_by_text("Goes on from mine.wav").wait_for()
    page.get_by_label("Seed").fill("4")
    opened.sample()
    model = ancestral.load("tiny-speech", root=store)
    given = model.manifest.data.media_codec.encode(samples / 32768)
    shade = page.locator(".given-part").evaluate("(part) => part.style.getPropertyValue('--to')")
    assert shade == "20%"
    expected = model.sample(1, seed=4, sites=2000, prefix=given, condition={"label": 0})
    assert opened.figure("#bits") == rounded(expected.bits_per_dim[0])
