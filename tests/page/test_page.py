"""The page in a real browser, against a real server, held against the library."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.api.server import Server

import ancestral

Open = Any  # the `tab` fixture
NATS = np.log(2)


def _png(array: np.ndarray) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return {"name": "mine.png", "mimeType": "image/png", "buffer": buffer.getvalue()}


def _wav(samples: np.ndarray, rate: int) -> dict[str, Any]:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, rate, len(samples), "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
    return {"name": "mine.wav", "mimeType": "audio/wav", "buffer": buffer.getvalue()}


def _result(tab: Any, item: Any) -> None:
    """Scores a file through the file chooser's input and waits for the result."""
    tab.page.set_input_files("#file", item)
    tab.page.wait_for_selector("#result:not([hidden])")


def test_every_model_of_the_store_has_a_card(tab: Open, store: Path) -> None:
    opened = tab("tiny-colour")
    cards = opened.page.get_by_role("radiogroup", name="Models").get_by_role("radio")
    names = [path.name for path in sorted(store.iterdir())]
    assert sorted(cards.nth(i).get_attribute("value") for i in range(cards.count())) == names
    assert "3 × 4 × 3 · 4 levels" in opened.text('.card:has([value="tiny-colour"])')
    assert opened.page.locator(".group-title").all_inner_texts() == [
        "Images 5", "Sound 3", "Music 1", "Text 1", "Tables 1",
    ]  # fmt: skip
    opened.page.get_by_label("Find a model").fill("gated colour")
    assert opened.page.locator(".card:visible").all_inner_texts()[0].startswith("tiny-colour")
    assert opened.page.locator(".card:visible").count() == 1
    opened.page.wait_for_selector("#about:not([hidden])")
    assert "derived step program" in opened.text("#about")
    assert opened.text("#health-text") == "ready"
    opened.page.get_by_role("button", name="ready").click()
    told = opened.page.locator("#fleet dl")
    told.wait_for()
    assert f"{len(names)} ready" in told.inner_text()
    assert "Jobs waiting" in told.inner_text()
    opened.page.keyboard.press("Escape")
    assert opened.page.locator("#fleet").is_hidden()


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
        assert caption == f"{expected.bits_per_dim[item]:.3f}"
    assert opened.text("#bits") == f"{np.mean(expected.bits_per_dim):.3f}"
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


def test_every_label_has_a_choice_of_its_own(tab: Open, store: Path) -> None:
    opened = tab("tiny-two")
    group = opened.page.get_by_role("group", name="voice")
    group.get_by_label("1", exact=True).check(force=True)
    opened.page.get_by_role("group", name="label").get_by_label("each").check(force=True)
    opened.page.get_by_label("Seed").fill("4")
    opened.sample()
    model = ancestral.load("tiny-two", root=store)
    expected = model.sample(3, seed=4, condition={"label": [0, 1, 2], "voice": 1})
    for item, canvas in enumerate(opened.pixels("#stage canvas")):
        np.testing.assert_array_equal(canvas[:, :, 0] // 85, np.asarray(expected.items[item])[0])
    opened.page.get_by_role("button", name="Sample 2").click()
    opened.page.wait_for_selector("#result:not([hidden])")
    assert "label 1, voice 1" in opened.text("#score-notes")
    assert opened.page.locator("#known select").count() == 2


def test_a_sample_is_scored_with_its_own_label(tab: Open, store: Path) -> None:
    opened = tab("tiny-pixelcnn")
    opened.page.get_by_label("1", exact=True).check(force=True)
    opened.page.get_by_label("Seed").fill("11")
    opened.sample()
    opened.page.get_by_role("button", name="Sample 1").click()
    opened.page.wait_for_selector("#result:not([hidden])")
    assert opened.text("#score-bits") == opened.text("#bits")
    assert "label 1" in opened.text("#score-notes")

    model = ancestral.load("tiny-pixelcnn", root=store)
    item = model.sample(1, seed=11, condition={"label": 1}).items[0]
    (score,) = model.log_prob([item], condition={"label": 1})
    surprise = -score.per_dim[:, 0] / NATS
    focus = opened.page.get_by_role("group", name="Surprise per pixel")
    focus.focus()
    for key in ["ArrowLeft"] * 4 + ["ArrowUp"] * 5 + ["ArrowRight", "ArrowDown"]:
        focus.press(key)
    assert opened.text("output.probe") == f"row 1, column 1: {surprise[1 * 4 + 1]:.2f} bits"
    heat = opened.pixels("#figures .pixels")[1, :, :, :3].sum(axis=-1).ravel()
    assert np.corrcoef(np.argsort(np.argsort(heat)), np.argsort(np.argsort(surprise)))[0, 1] > 0.95


def test_a_picture_gets_its_percentile(tab: Open, store: Path) -> None:
    codes = np.arange(20).reshape(5, 4) % 4
    opened = tab("tiny-pixelcnn")
    _result(opened, _png((codes * 85).astype(np.uint8)))
    model = ancestral.load("tiny-pixelcnn", root=store)
    (score,) = model.log_prob([codes[None]], marginal=True)
    assert opened.text("#score-bits") == f"{score.bits_per_dim:.3f}"
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
    _result(opened, _png((codes * 85).astype(np.uint8)))
    (score,) = model.log_prob([codes[None]], condition={"label": 2})
    opened.page.get_by_text(f"{score.bits_per_dim:.3f}").wait_for()
    note = "the held-out items were scored with their labels summed out"
    assert opened.text("#score-notes") == note


def test_a_misfit_is_fitted_only_if_allowed(tab: Open) -> None:
    large = _png(np.zeros((50, 40), dtype=np.uint8))
    opened = tab("tiny-pixelcnn")
    _result(opened, large)
    assert "resized" in opened.text("#score-notes")
    opened.page.get_by_label("Fit it to the model").uncheck()
    opened.page.set_input_files("#file", large)
    problem = opened.page.get_by_role("alert")
    problem.get_by_text("422").wait_for()
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
    item = _png(np.zeros((5, 4), dtype=np.uint8))
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
    opened.page.wait_for_selector("#result:not([hidden])")
    assert opened.page.locator("#veil").is_hidden()


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
    opened.page.wait_for_selector('#stage[data-sound="ended"]', timeout=20_000)
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
    opened.page.wait_for_selector("#result:not([hidden])")
    assert opened.text("#score-bits") == opened.text("#bits")
    # a quarter of a second may pass between two looks of this test, so the page looks for itself
    opened.page.evaluate(
        """() => {
            window.played = false;
            const stage = document.getElementById("stage");
            const look = () => {
                const head = stage.querySelector(".head");
                const playing = stage.dataset.sound === "playing";
                if (playing && head?.checkVisibility()) window.played = true;
                requestAnimationFrame(look);
            };
            look();
        }"""
    )
    opened.page.get_by_role("button", name="Play sample 1").click()
    opened.page.wait_for_function("() => window.played", timeout=20_000)


def test_a_recording_is_scored(tab: Open, store: Path) -> None:
    codec = ancestral.load("tiny-speech", root=store).manifest.data.media_codec
    samples = np.rint(np.sin(np.arange(400) / 9) * 16000)
    opened = tab("tiny-speech")
    _result(opened, _wav(samples, 8000))
    model = ancestral.load("tiny-speech", root=store)
    (score,) = model.log_prob([codec.encode(samples / 32768)], marginal=True)
    assert opened.text("#score-bits") == f"{score.bits_per_dim:.3f}"
    assert opened.page.locator("#figures .waves").count() == 2
    assert "no reference scores" in opened.text("#verdict")


def test_sounds_too_slow_for_browsers_and_vectors(tab: Open, store: Path) -> None:
    opened = tab("tiny-wavenet")  # 1000 Hz
    opened.sample()
    opened.page.wait_for_selector('#stage[data-sound="ended"]', timeout=20_000)
    opened.page.get_by_label("tiny-made").check(force=True)
    opened.page.get_by_label("Seed").fill("2")
    opened.sample()
    opened.page.get_by_role("button", name="Score sample 1").click()
    opened.page.wait_for_selector("#result:not([hidden])")
    expected = ancestral.load("tiny-made", root=store).sample(1, seed=2)
    assert opened.text("#score-bits") == f"{expected.bits_per_dim[0]:.3f}"


@pytest.mark.parametrize("how", ["button", "escape", "another model"])
def test_a_stopped_job_gives_its_slot_back(tab: Open, server: Server, how: str) -> None:
    opened = tab("tiny-speech")
    length = opened.page.get_by_role("slider", name="Length")
    length.focus()
    length.press("End")
    opened.page.get_by_role("button", name="Sample", exact=True).click()
    opened.page.wait_for_selector('#sites:text-matches("[1-9]")')
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


def test_the_keyboard_does_it_all(tab: Open) -> None:
    opened = tab("tiny-colour")
    page = opened.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to sampling"
    for wanted in ("health", "find"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == wanted
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.wait_for_selector('#models input[value="tiny-gpt"]:checked', state="attached")
    page.wait_for_selector("#play:enabled")
    page.get_by_label("Seed").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Sample 1").wait_for()
    page.locator(".tile:enabled").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#result:not([hidden])")


def test_a_problem_of_the_stream_is_shown(tab: Open) -> None:
    opened = tab("tiny-pixelcnn")
    opened.page.evaluate("document.getElementById('count').max = 100000")
    opened.page.get_by_label("Items").fill("5000")
    opened.sample()
    problem = opened.page.get_by_role("alert")
    problem.get_by_text("count").first.wait_for()
    assert "422" in problem.inner_text()


CONTRAST = """() => {
    const channel = (x) => (x /= 255) <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
    const parse = (text) => text.match(/[\\d.]+/g).map(Number);
    const luminance = ([r, g, b]) =>
        0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const colour = parse(getComputedStyle(at).backgroundColor);
            if (colour.length === 3 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    const low = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
        if (element.closest(":disabled, .hidden, .skip")) continue;
        const pair = [parse(getComputedStyle(element).color), behind(element)].map(luminance);
        const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
        if (ratio < 4.5) low.push(`${ratio.toFixed(2)} ${element.textContent}`);
    }
    return low;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 820, 1440])
def test_it_fits_and_is_legible(tab: Open, scheme: str, width: int) -> None:
    opened = tab("tiny-pixelcnn", color_scheme=scheme, viewport={"width": width, "height": 800})
    opened.page.get_by_label("each").check(force=True)
    opened.sample()
    _result(opened, _png(np.zeros((5, 4), dtype=np.uint8)))
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.page.evaluate(CONTRAST) == []
