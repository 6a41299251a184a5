"""The page in a real browser: its cards, by keyboard, at three widths, in light and dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.page.items import png, scored

Open = Any  # the `tab` fixture


def test_every_model_of_the_store_has_a_card(tab: Open, store: Path) -> None:
    opened = tab("tiny-colour")
    cards = opened.page.get_by_role("radiogroup", name="Models").get_by_role("radio")
    names = [path.name for path in sorted(store.iterdir())]
    assert sorted(cards.nth(i).get_attribute("value") for i in range(cards.count())) == names
    assert "3 × 4 × 3 · 4 levels" in opened.text('.card:has([value="tiny-colour"])')
    assert opened.page.locator(".group-title").all_inner_texts() == [
        "Images 6", "Sound 3", "Music 1", "Text 1", "Tables 1",
    ]  # fmt: skip
    opened.page.get_by_label("Find a model").fill("gated colour")
    assert opened.page.locator(".card:visible").all_inner_texts()[0].startswith("tiny-colour")
    assert opened.page.locator(".card:visible").count() == 1
    assert "derived step program" in opened.text("#about")
    opened.page.wait_for_selector('#health[data-state="ready"]')
    assert opened.text("#health-text") == "ready"
    opened.page.get_by_role("button", name="ready").click()
    told = opened.page.locator("#fleet dl")
    told.wait_for()
    assert f"{len(names)} ready" in told.inner_text()
    assert "Jobs waiting" in told.inner_text()
    assert opened.page.locator(".crew meter").count() == 1
    opened.page.keyboard.press("Escape")
    opened.page.locator("#fleet").wait_for(state="hidden")


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
    opened.scored()


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
    scored(opened, png(np.zeros((5, 4), dtype=np.uint8)))
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.page.evaluate(CONTRAST) == []
