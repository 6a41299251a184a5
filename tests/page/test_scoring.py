"""Scoring on the page of a real server, held against the library."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.page.items import png, rounded, scored, wav

import ancestral

Open = Any  # the `tab` fixture
NATS = np.log(2)


def test_a_sample_is_scored_with_its_own_label(tab: Open, store: Path) -> None:
    opened = tab("tiny-pixelcnn")
    opened.page.get_by_label("1", exact=True).check(force=True)
    opened.page.get_by_label("Seed").fill("11")
    opened.sample()
    opened.page.get_by_role("button", name="Sample 1").click()
    opened.scored()
    assert opened.figure("#score-bits") == rounded(opened.figure("#bits"))
    assert "label 1" in opened.text("#score-notes")

    model = ancestral.load("tiny-pixelcnn", root=store)
    item = model.sample(1, seed=11, condition={"label": 1}).items[0]
    (score,) = model.log_prob([item], condition={"label": 1})
    surprise = -score.per_dim[:, 0] / NATS
    focus = opened.page.get_by_role("group", name="Surprise per pixel")
    focus.focus()
    for key in ["ArrowLeft"] * 4 + ["ArrowUp"] * 5 + ["ArrowRight", "ArrowDown"]:
        focus.press(key)
    said = re.fullmatch(r"row 1, column 1: (\S+) bits", opened.text("output.probe"))
    assert said is not None
    assert float(said[1]) == pytest.approx(surprise[1 * 4 + 1], abs=0.011)
    opened.page.get_by_label("Lay it over the picture").check()
    boxes = opened.page.locator("#figures .pixels").evaluate_all(
        "(all) => all.map((each) => JSON.stringify(each.getBoundingClientRect()))"
    )
    assert boxes[0] == boxes[1]
    heat = opened.pixels("#figures .pixels")[1, :, :, :3].sum(axis=-1).ravel()
    assert np.corrcoef(np.argsort(np.argsort(heat)), np.argsort(np.argsort(surprise)))[0, 1] > 0.95


def test_a_picture_gets_its_percentile(tab: Open, store: Path) -> None:
    codes = np.arange(20).reshape(5, 4) % 4
    opened = tab("tiny-pixelcnn")
    scored(opened, png((codes * 85).astype(np.uint8)))
    model = ancestral.load("tiny-pixelcnn", root=store)
    (score,) = model.log_prob([codes[None]], marginal=True)
    assert opened.figure("#score-bits") == rounded(score.bits_per_dim)
    assert score.percentile is not None
    share = (np.linspace(-60, -10, 200) < score.log_prob).mean() * 100
    assert score.percentile == share
    wanted = f"{share:.1f}".removesuffix(".0") if share < 100 else "100"
    assert opened.text("#score-percentile") == wanted
    assert opened.text("#score-reference") == "of 200 held out"
    assert "labels summed out" in opened.text("#score-notes")
    (picture, _) = opened.pixels("#figures .pixels")
    np.testing.assert_array_equal(picture[:, :, 0], codes * 85)

    opened.page.get_by_role("combobox", name="label").select_option("2")
    scored(opened, png((codes * 85).astype(np.uint8)))
    (score,) = model.log_prob([codes[None]], condition={"label": 2})
    assert opened.figure("#score-bits") == rounded(score.bits_per_dim)
    note = "the held-out items were scored with their labels summed out"
    assert opened.text("#score-notes") == note


def test_a_misfit_is_fitted_only_if_allowed(tab: Open) -> None:
    large = png(np.zeros((50, 40), dtype=np.uint8))
    opened = tab("tiny-pixelcnn")
    scored(opened, large)
    assert "resized" in opened.text("#score-notes")
    opened.page.get_by_label("Fit it to the model").uncheck()
    opened.page.set_input_files("#file", large)
    problem = opened.page.get_by_role("alert")
    problem.locator(".problem-title", has_text="422").wait_for()
    assert "[50, 40]" in problem.inner_text()
    assert "[5, 4]" in problem.inner_text()
    assert opened.page.locator("#result").is_hidden()
    problem.get_by_role("button", name="Dismiss").click()
    assert problem.inner_text() == ""


def test_a_file_of_another_kind_is_refused(tab: Open) -> None:
    opened = tab("tiny-pixelcnn")
    text = {"name": "note.txt", "mimeType": "text/plain", "buffer": b"hello"}
    opened.page.set_input_files("#file", text)
    opened.page.get_by_role("alert").get_by_text("note.txt").wait_for()


def test_a_file_dropped_anywhere_is_scored(tab: Open) -> None:
    opened = tab("tiny-pixelcnn")
    item = png(np.zeros((5, 4), dtype=np.uint8))
    transfer = opened.page.evaluate_handle(
        """(bytes) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([Uint8Array.from(bytes)], "a.png", { type: "image/png" }));
            return transfer;
        }""",
        list(item["buffer"]),
    )
    opened.page.dispatch_event("body", "dragenter", {"dataTransfer": transfer})
    assert opened.page.locator("#veil").is_visible()
    opened.page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    opened.scored()
    assert opened.page.locator("#veil").is_hidden()


def test_a_recording_is_scored(tab: Open, store: Path) -> None:
    codec = ancestral.load("tiny-speech", root=store).manifest.data.media_codec
    samples = np.rint(np.sin(np.arange(400) / 9) * 16000)
    opened = tab("tiny-speech")
    scored(opened, wav(samples, 8000))
    model = ancestral.load("tiny-speech", root=store)
    (score,) = model.log_prob([codec.encode(samples / 32768)], marginal=True)
    assert opened.figure("#score-bits") == rounded(score.bits_per_dim)
    assert opened.page.locator("#figures .waves").count() == 2
    assert "no reference scores" in opened.text("#verdict")
