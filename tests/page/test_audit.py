"""The page as auditors judge it: axe-core's rules, the order of focus, the console, the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from tests.api.server import Server
from tests.page.items import png, scored

Open = Any  # the `tab` fixture
AXE = Path(__file__).parents[2] / "clients/js/node_modules/axe-core/axe.min.js"

RULES = """async () => {
    const { violations } = await axe.run(document, { resultTypes: ["violations"] });
    return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}"""
# Where focus is, among all elements in the order in which they are read.
PLACE = """() => [
    [...document.querySelectorAll("*")].indexOf(document.activeElement),
    document.activeElement.matches(":focus-visible"),
    document.activeElement.outerHTML.slice(0, 80),
]"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_nothing_is_in_the_way_of_anybody(
    tab: Open, server: Server, scheme: str, width: int
) -> None:
    """After a completion and a score, with the easel open: every part of the page is there."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed: npm install in clients/js")
    opened = tab("tiny-colour", color_scheme=scheme, viewport={"width": width, "height": 800})
    page = opened.page
    requested: list[str] = []
    failed: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.on("response", lambda answer: failed.extend([answer.url] * (answer.status >= 400)))
    page.reload()
    opened.settled()
    scored(opened, png(np.zeros((4, 3, 3), dtype=np.uint8)))
    page.get_by_role("button", name="Hide a part and complete it").click()
    opened.sample()
    page.evaluate(AXE.read_text())
    assert page.evaluate(RULES) == []
    page.get_by_role("button", name="ready").click()
    page.locator("#fleet dl").wait_for()
    assert page.evaluate(RULES) == []

    hosts = {urlsplit(url).netloc for url in requested if not url.startswith(("blob:", "data:"))}
    assert hosts == {urlsplit(server.url).netloc}
    assert failed == []


def test_its_links_lead_somewhere(tab: Open, server: Server) -> None:
    """To what every server has: a gateway may keep /metrics to itself."""
    links = tab("tiny-colour").page.eval_on_selector_all("a", "(all) => all.map((a) => a.href)")
    assert not any("metrics" in link for link in links)
    assert {server.client.get(link).status_code for link in links} == {200}


def test_focus_goes_down_the_page_and_is_seen(tab: Open) -> None:
    opened = tab("tiny-colour")
    page = opened.page
    scored(opened, png(np.zeros((4, 3, 3), dtype=np.uint8)))
    page.get_by_role("button", name="Hide a part and complete it").click()
    page.evaluate("document.body.tabIndex = -1; document.body.focus()")
    before, seen = -1, 0
    while True:
        page.keyboard.press("Tab")
        place, visible, element = page.evaluate(PLACE)
        if element.startswith(("<body", "<html")) or place < before:
            break
        assert visible, element
        assert place > before, element
        before, seen = place, seen + 1
    assert seen >= 20  # models, easel, controls, scoring, footer


def test_the_policy_lets_nothing_else_in(tab: Open, server: Server) -> None:
    policy = server.client.get("/").headers["content-security-policy"]
    rules = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert rules["default-src"] == rules["frame-ancestors"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert "unsafe" not in policy
    blocked = """() => new Promise((done) => {
        addEventListener("securitypolicyviolation", (event) => done(event.effectiveDirective));
        const script = document.createElement("script");
        script.textContent = "window.mine = true";
        document.head.append(script);
    })"""
    other = tab("tiny-colour").context.new_page()  # one whose complaints nobody counts
    other.goto(server.url)
    assert other.evaluate(blocked) == "script-src-elem"
    assert other.evaluate("window.mine") is None
