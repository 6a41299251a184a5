"""A browser on the page of a real server over a store of tiny packages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.api.conftest import server
from tests.api.server import Server
from tests.packages import LABEL, MU_LAW, TINY, publish

__all__ = ["server"]

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SLOW = {**TINY["tiny-wavenet"]["data"], "length": {"default": 100, "maximum": 2000}}
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage"]

PATIENCE_MS = 120_000  # that a machine with other work may take for one step
LONGEST = 50_000_000  # sites of a sound, a minute's at least: tests end its job, not chance

DRAWN = """(sites) => {
    const { textContent } = document.getElementById("sites");
    return Number(textContent.replaceAll(",", "")) >= sites;
}"""
SAVE_DATA = "Object.defineProperty(navigator, 'connection', { value: { saveData: true } });"


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages of `TINY`, with reference scores where the page shows a percentile."""
    root = tmp_path_factory.mktemp("store")
    scores = np.linspace(-60, -10, 200).tolist()
    reference = {"unit": "nats", "scores": scores, "marginal": True}
    own = {"tiny-pixelcnn": {"reference": reference}, "tiny-wavenet": {"data": SLOW}}
    for name in TINY:
        publish(root, name, **own.get(name, {}))
    sound = {
        "kind": "audio",
        "levels": 16,
        "codec": MU_LAW,
        "sample_rate": 8000,
        "length": {"default": 2000, "maximum": LONGEST},
    }
    publish(root, "tiny-wavenet", name="tiny-speech", data=sound)
    many = {**LABEL, "classes": 40, "prior": None}
    voice = {"name": "voice", "kind": "label", "classes": 2, "names": ["low", "high"]}
    word = {**many, "name": "word", "names": [f"word {index}" for index in range(40)]}
    publish(root, "tiny-pixelcnn", name="tiny-two", conditions=[LABEL, voice])
    publish(root, "tiny-pixelcnn", name="tiny-many", conditions=[many])
    publish(root, "tiny-pixelcnn", name="tiny-words", conditions=[word])
    return root


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium; skips, with the reason, where there is none.

    Playwright keeps an event loop running in this thread: it ends with the module, before tests of
    other modules run loops of their own.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=path, args=ARGUMENTS, timeout=PATIENCE_MS)
        yield found
        found.close()


def new_context(browser: Any, **options: Any) -> Any:
    """A browser's window of its own, as patient as tests are."""
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE_MS)
    return context


class Tab:
    """The page at a model, with what its console complained of."""

    def __init__(
        self,
        browser: Any,
        server: Server,
        model: str,
        frugal: bool = True,
        script: str = "",
        **context: Any,
    ) -> None:
        self.context = new_context(browser, **context)
        self.context.add_init_script(script)
        if frugal:  # no live samples beside those of the test
            self.context.add_init_script(SAVE_DATA)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._heard)
        self.page.goto(f"{server.url}/#{model}")
        self.page.wait_for_selector(f'#models input[value="{model}"]:checked', state="attached")
        self.settled()

    def settled(self) -> None:
        """Wait until the page has shown what it knows of its model: nothing moves any more."""
        self.page.wait_for_selector("#play:enabled")
        self.page.wait_for_selector("#about:not([hidden])", state="attached")

    def _heard(self, message: Any) -> None:
        # A problem document of a request is shown on the page; the console repeats its status.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def sample(self) -> None:
        """Press Sample and wait for the end; files of the form have to be read before."""
        self.page.wait_for_selector("#controls:valid")
        self.page.get_by_role("button", name="Sample", exact=True).click()
        self.ended()

    def long_job(self, sites: int = 1) -> None:
        """Begin a job that goes on until it is ended, and wait for so many sites of it."""
        length = self.page.get_by_role("slider", name="Length")
        length.focus()
        length.press("End")
        self.page.get_by_role("button", name="Sample", exact=True).click()
        self.page.wait_for_function(DRAWN, arg=sites)

    def ended(self) -> None:
        """Wait until no job runs."""
        self.page.wait_for_selector('#play[data-running="false"]')

    def scored(self) -> None:
        """Wait for the score that was asked for; one of before may be shown until then."""
        self.page.wait_for_selector('#score[aria-busy="false"] #result:not([hidden])')

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).inner_text())

    def figure(self, selector: str) -> float:
        return float(self.text(selector).replace("−", "-"))

    def pixels(self, selector: str) -> Any:
        """RGBA of every canvas there, [canvases, H, W, 4]."""
        script = """(canvases) => canvases.map((canvas) => {
            const { width, height } = canvas;
            const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
            return { width, height, data: Array.from(data) };
        })"""
        read = self.page.eval_on_selector_all(selector, script)
        return np.array(
            [np.reshape(each["data"], (each["height"], each["width"], 4)) for each in read]
        )


@pytest.fixture
def tab(browser: Any, server: Server) -> Iterator[Any]:
    """Opens tabs; none may have met an error or a breach of the page's security policy."""
    tabs: list[Tab] = []

    def opened(model: str, **context: Any) -> Tab:
        tabs.append(Tab(browser, server, model, **context))
        return tabs[-1]

    yield opened
    for each in tabs:
        each.context.close()
        assert each.complaints == []
