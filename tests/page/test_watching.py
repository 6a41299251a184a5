"""Watching a job on the page: how likely it is so far, holding it, leaving it, live cards."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from tests.api.server import Server

import ancestral

Open = Any  # the `tab` fixture


def test_bits_are_told_on_the_way_and_a_job_is_held(tab: Open, server: Server) -> None:
    opened = tab("tiny-speech")
    page = opened.page
    opened.long_job()
    page.wait_for_selector('#bits:text-matches("^[0-9.]+$")')
    page.get_by_role("button", name="Pause").click()
    page.wait_for_selector('#stage[data-paused="true"]')
    held = opened.text("#sites")
    server.standstill()  # nothing is drawn for it
    assert opened.text("#sites") == held
    page.get_by_role("button", name="Go on").click()
    page.wait_for_function(
        "(held) => document.getElementById('sites').textContent !== held", arg=held
    )
    page.get_by_role("button", name="Pause").click()
    page.keyboard.press("Escape")
    opened.ended()
    assert opened.text("#announce") == "Stopped."
    server.standstill()


def test_leaving_the_page_gives_the_slot_back(tab: Open, server: Server) -> None:
    opened = tab("tiny-speech")
    opened.long_job()
    opened.page.goto("about:blank")
    server.standstill()


def test_cards_are_painted_one_by_one_and_kept(tab: Open, store: Any) -> None:
    opened = tab("tiny-pixelcnn", frugal=False)
    page = opened.page
    drawn = '.card:has([value="tiny-pixelcnn"]) .mark[data-live] canvas'
    page.wait_for_selector(drawn)
    page.wait_for_function("() => localStorage.getItem('ancestral.card.tiny-pixelcnn/1')")
    model = ancestral.load("tiny-pixelcnn", root=store)
    item = model.sample(1, seed=7, condition={"label": 7 % 3}).items[0]
    (pixels,) = opened.pixels(drawn)
    np.testing.assert_array_equal(pixels[:, :, 0] // 85, np.asarray(item)[0])
    text = page.locator('.card:has([value="tiny-char-rnn"])')
    text.scroll_into_view_if_needed()
    text.locator(".card-words").wait_for()

    vocoder = page.locator('.card:has([value="tiny-wavernn"]) .mark')
    vocoder.scroll_into_view_if_needed()
    page.wait_for_function("() => localStorage.getItem('ancestral.card.tiny-wavernn/1')")
    kept = json.loads(page.evaluate("localStorage.getItem('ancestral.card.tiny-wavernn/1')"))
    assert len(kept["values"]) == 204  # a hum of 200 ms at 1000 Hz, every hop begun

    page.reload()
    page.wait_for_selector(drawn)
    page.wait_for_selector("#about:not([hidden])")
    np.testing.assert_array_equal(opened.pixels(drawn)[0], pixels)
    before = page.evaluate("localStorage.getItem('ancestral.card.tiny-pixelcnn/1')")
    page.get_by_role("button", name="Paint its card again").click()
    kept = "(before) => localStorage.getItem('ancestral.card.tiny-pixelcnn/1') !== before"
    page.wait_for_function(kept, arg=before)
