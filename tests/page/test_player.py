"""The client's player on a real server's stream: how soon it begins, and that it has no gap."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from tests.api.server import Server

RATE = 1000  # Hz of tiny-wavenet, which is drawn faster than that
PLAY = """async (rate) => {
    const { Client } = await import("/client/index.js");
    const { Player } = await import("/client/player.js");
    const player = await Player.open(rate);
    const options = { seed: 3, sites: 1500, format: "pcm16", condition: { label: 0 } };
    const stream = new Client(location.origin).stream("tiny-wavenet", options);
    let [first, began, sound, have, ahead] = [null, null, null, 0, Infinity];
    for await (const frame of stream) {
        const now = performance.now();
        if (began !== null) ahead = Math.min(ahead, have / rate - (now - began) / 1000);
        if (sound === null) {
            first = now;
            sound = player.sound({ total: stream.started.sites });
            sound.begun.then(() => (began = performance.now()));
        }
        sound.push(frame.values);
        have += frame.count;
    }
    sound.finish();
    const { gaps } = await sound.ended;
    await player.close();
    return { delay: began - first, gaps, ahead, speed: stream.done.sites_per_second / rate };
}"""


def test_sound_begins_soon_and_without_a_gap(
    browser: Any, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    page = browser.new_page()
    page.goto(server.url)
    page.get_by_role("heading", name="Score").click()  # sound follows a click only
    found = page.evaluate(PLAY, RATE)
    page.close()
    told = "sound {delay:.0f} ms after the first frame, {gaps} gaps, × {speed:.1f} real time"
    with capsys.disabled():
        sys.stdout.write(f"\n{told.format_map(found)}\n")
    kept_ahead = found["ahead"] is None or found["ahead"] > 0.05  # JSON has no infinity
    assert found["gaps"] == 0 or not kept_ahead
