"""The guide's pictures of the page, as a server of the shipped packages shows it.

python docs/pictures.py http://127.0.0.1:8000
"""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from PIL import Image
from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
DIGITS = "gated-pixelcnn-mnist"
REACHED = "(share) => document.getElementById('progress').value >= share"
SPOKEN = {"model": "wavenet-digits", "seed": 5, "sites": 2400}
VOICE = {"digit": 3, "speaker": "Jackson"}
BRUSH = ((0.22, 0.25), (0.5, 0.36))  # from and to, in shares of the easel


class Visitor:
    """Somebody at the page, with a window of some width."""

    def __init__(self, browser: Any, url: str, width: int, height: int, **look: Any) -> None:
        self.url = url
        size = {"width": width, "height": height}
        self.page = browser.new_context(viewport=size, **look).new_page()

    def choose(self, model: str, **fields: str) -> None:
        self.page.goto(f"{self.url}/#{model}")
        self.page.wait_for_selector("#play:enabled")
        self.page.wait_for_timeout(10_000)  # for the cards to be painted
        for name, value in fields.items():
            self.page.fill(f"#{name}", value)

    def sample(self, share: float = 1.0) -> None:
        """Press Sample and wait until that share of the sites is there."""
        self.page.click("#play")
        self.page.wait_for_function(REACHED, arg=share)
        if share == 1:
            self.page.wait_for_selector('#play[data-running="false"]')

    def score(self, item: int) -> None:
        self.page.locator("#stage .tile").nth(item).click()
        self.page.wait_for_selector("#result:not([hidden])")
        self.page.locator("#histogram .bins").wait_for()

    def complete(self) -> None:
        """Hide the lower half of what is scored, and brush over a part above."""
        page = self.page
        page.click("#go-on")
        easel = page.locator("#easel-canvas")
        easel.scroll_into_view_if_needed()
        box = easel.bounding_box()
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in BRUSH]
        page.mouse.move(*places[0])
        page.mouse.down()
        page.mouse.move(*places[1], steps=6)
        page.mouse.up()
        self.sample()
        page.evaluate("document.activeElement.blur()")

    def show(self, name: str, panel: str | None = None) -> None:
        """Keep a picture of the window, or of a panel, in 256 colours."""
        self.page.mouse.move(0, 0)
        shown = self.page if panel is None else self.page.locator(panel)
        picture = Image.open(io.BytesIO(shown.screenshot()))
        picture.convert("RGB").quantize(256).save(HERE / name, optimize=True)


def draw(browser: Any, url: str) -> None:
    """Forty digits on their way, one of an earlier job scored."""
    visitor = Visitor(browser, url, 1440, 1020, color_scheme="light")
    visitor.choose(DIGITS, seed="12", count="20")
    visitor.page.get_by_label("each").check(force=True)
    visitor.page.fill("#count", "20")
    visitor.sample()
    visitor.score(7)
    visitor.page.fill("#count", "40")
    visitor.page.evaluate("window.scrollTo(0, 0)")
    visitor.sample(0.45)
    visitor.show("page.png")


def complete(browser: Any, url: str) -> None:
    visitor = Visitor(browser, url, 1440, 1100, color_scheme="dark")
    visitor.choose(DIGITS, seed="7")
    visitor.page.get_by_label("3", exact=True).check(force=True)
    visitor.sample()
    visitor.score(0)
    visitor.complete()
    visitor.show("completing.png", "#sample")


def go_on(browser: Any, url: str) -> None:
    """A recording that goes on: one that the model spoke itself."""
    headers = {"Content-Type": "application/json", "Accept": "audio/wav"}
    body = json.dumps({**SPOKEN, "condition": VOICE}).encode()
    with urlopen(Request(f"{url}/sample", body, headers)) as answer:
        spoken = answer.read()
    visitor = Visitor(browser, url, 1440, 1100, color_scheme="light")
    visitor.choose("wavenet-digits", seed="3")
    page = visitor.page
    for name, value in VOICE.items():
        group = page.get_by_role("group", name=name)
        group.get_by_label(str(value), exact=True).check(force=True)
    file = {"name": "three.wav", "mimeType": "audio/wav", "buffer": spoken}
    page.set_input_files("#begin-file", files=[file])
    page.get_by_text("Goes on from three.wav").wait_for()
    visitor.sample()
    page.wait_for_selector('#stage[data-sound="ended"]')
    page.evaluate("document.activeElement.blur()")
    visitor.show("continuing.png", "#sample")


def carry(browser: Any, url: str) -> None:
    """On a phone, in the dark."""
    look = {"color_scheme": "dark", "device_scale_factor": 2, "has_touch": True}
    visitor = Visitor(browser, url, 390, 844, **look)
    visitor.choose(DIGITS, seed="7")
    visitor.page.get_by_label("3", exact=True).check(force=True)
    visitor.sample()
    visitor.score(0)
    visitor.complete()
    visitor.page.evaluate("document.getElementById('easel').scrollIntoView({block: 'start'})")
    visitor.show("phone.png")


def main(url: str) -> None:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for picture in (draw, complete, go_on, carry):
            picture(browser, url)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
