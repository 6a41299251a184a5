"""The client's player on a real server's stream: how soon it begins, and that it has no gap."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from tests.api.server import Server
from tests.page.conftest import new_context

# `ahead`: how much of the sound was there at least that cannot have been heard yet, by the clock of
# the sound itself. Where a busy machine lets that run out, a gap is no fault of the player's.
RATE = 1000  # Hz of tiny-wavenet, which is drawn faster than that
PLAY = """async (rate) => {
    const { Client } = await import("/client/index.js");
    const { Player } = await import("/client/player.js");
    const player = await Player.open(rate);
    const options = { seed: 3, sites: 1500, format: "pcm16", condition: { label: 0 } };
    const stream = new Client(location.origin).stream("tiny-wavenet", options);
    let [first, since, began, sound, have, ahead] = [null, null, null, null, 0, Infinity];
    const heard = () => player.context.currentTime - since; // seconds, at most
    for await (const frame of stream) {
        if (sound !== null) ahead = Math.min(ahead, have / rate - heard());
        if (sound === null) {
            first = performance.now();
            since = player.context.currentTime;
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
    context = new_context(browser)
    page = context.new_page()
    page.goto(server.url)
    page.get_by_role("heading", name="Score").click()  # sound follows a click only
    found = page.evaluate(PLAY, RATE)
    context.close()
    told = "sound {delay:.0f} ms after the first frame, {gaps} gaps, × {speed:.1f} real time"
    with capsys.disabled():
        sys.stdout.write(f"\n{told.format_map(found)}\n")
    kept_ahead = found["ahead"] is None or found["ahead"] > 0.3  # JSON has no infinity
    assert found["gaps"] == 0 or not kept_ahead
