"""A server that wants a key: the page asks for it, once, and keeps it in its tab."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.api.conftest import running
from tests.api.server import Server
from tests.packages import publish
from tests.page.conftest import new_context

from ancestral.access import create


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A server with keys, and one of them."""
    folder = tmp_path_factory.mktemp("guarded")
    publish(folder / "store", "tiny-made")
    _, key = create(folder / "keys.json", "reader")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANCESTRAL_KEYS", str(folder / "keys.json"))
        with running(folder / "store") as (server, _):
            yield server, key


def test_the_key_is_asked_for_and_kept(browser: Any, guarded: tuple[Server, str]) -> None:
    server, key = guarded
    context = new_context(browser)
    page = context.new_page()
    breaches: list[str] = []
    page.on("pageerror", lambda error: breaches.append(str(error)))
    page.goto(f"{server.url}/#tiny-made")
    dialog = page.get_by_role("dialog", name="This server asks for a key")
    dialog.get_by_role("button", name="Not now").click()
    page.get_by_role("alert").locator(".problem-title", has_text="401").wait_for()

    page.reload()
    page.get_by_label("API key").fill("not the key")
    page.keyboard.press("Enter")
    dialog.get_by_text("That key was not taken.").wait_for()
    page.get_by_label("API key").fill(key)
    dialog.get_by_role("button", name="Use this key").click()
    page.wait_for_selector("#play:enabled")
    page.get_by_role("button", name="Sample", exact=True).click()
    page.wait_for_selector('#bits:text-matches("^[0-9.]+$")')
    page.get_by_role("button", name="Score sample 1").click()
    page.wait_for_selector('#score[aria-busy="false"] #result:not([hidden])')

    page.reload()
    page.wait_for_selector("#play:enabled")
    assert dialog.is_hidden()
    assert breaches == []
    context.close()


def test_sockets_are_opened_with_a_token(browser: Any, guarded: tuple[Server, str]) -> None:
    """The key itself is sent in a header only, never in a handshake that a proxy might log."""
    server, key = guarded
    context = new_context(browser)
    page = context.new_page()
    page.add_init_script(
        """window.protocols = [];
        const Plain = WebSocket;
        window.WebSocket = class extends Plain {
            constructor(url, protocols) { super(url, protocols); window.protocols.push(protocols); }
        };"""
    )
    page.goto(f"{server.url}/#tiny-made")
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    page.wait_for_selector("#play:enabled")
    page.get_by_role("button", name="Sample", exact=True).click()
    page.wait_for_selector('#bits:text-matches("^[0-9.]+$")')
    for version, token in page.evaluate("() => window.protocols"):
        assert version == "ancestral.v1"
        assert token.startswith("ancestral.token.")
        assert key not in token
    context.close()
