"""The page as a phone gets it that comes without TLS: browsers keep some of their parts from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tests.api.server import Server
from tests.page.conftest import Tab

import ancestral

# What Chromium does not have there (W3C: [SecureContext]).
WITHOUT = """
delete Crypto.prototype.randomUUID;
delete BaseAudioContext.prototype.audioWorklet;
delete window.AudioWorkletNode;
Object.defineProperty(Navigator.prototype, "clipboard", { value: undefined });
"""
# Blocks of sound as they are handed over: when each begins, and its samples.
LISTEN = """
window.blocks = [];
const start = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (at) {
    window.blocks.push([at, Array.from(this.buffer.getChannelData(0))]);
    return start.call(this, at);
};
"""


def test_a_sound_is_heard(browser: Any, server: Server, store: Path) -> None:
    opened = Tab(browser, server, "tiny-speech", script=WITHOUT + LISTEN)
    page = opened.page
    page.get_by_label("Seed").fill("3")
    opened.sample()
    page.wait_for_selector('#stage[data-sound="ended"]')
    page.get_by_role("button", name="Copy link").click()
    page.get_by_role("button", name="It is in the address bar").wait_for()
    assert "seed=3" in page.url
    assert page.evaluate("window.blocks.length") > 0  # heard while it was drawn
    page.evaluate("window.blocks = []")
    page.get_by_role("button", name="Play sample 1").click()
    page.wait_for_function("() => window.blocks.flatMap((block) => block[1]).length >= 2000")
    page.wait_for_selector('#stage[data-sound="ended"]')
    blocks = page.evaluate("window.blocks")
    opened.context.close()
    assert opened.complaints == []
    begins = np.array([at for at, _ in blocks])
    assert (np.diff(begins) > 0.05 - 1e-6).all()  # more where the page was kept from its work
    heard = np.concatenate([samples for _, samples in blocks])
    model = ancestral.load("tiny-speech", root=store)
    codec = model.manifest.data.media_codec
    assert codec is not None
    item = model.sample(1, seed=3, condition={"label": 0}).items[0]
    np.testing.assert_allclose(heard[: len(item)], codec.decode(np.asarray(item)), atol=1e-6)
    assert not heard[len(item) + 1 :].any()
