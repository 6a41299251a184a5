"""The player and the painter in a browser: Chromium's own AudioWorklet and canvas."""

from __future__ import annotations

import functools
import http.server
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.page.conftest import browser

__all__ = ["browser"]

SOURCES = Path(__file__).parents[2] / "clients" / "js" / "src"
PLAY = """async () => {
  const { Player } = await import("/player.js");
  const context = new OfflineAudioContext(1, 4800, 48000);
  context.resume = async () => {};  // it runs by startRendering
  const player = await Player.open(24000, { context });
  const sound = player.sound({ lead: 0.01 });
  const wave = Int16Array.from({ length: 1200 }, (_, n) => 16384 * Math.sin(n / 20));
  for (let at = 0; at < 1200; at += 100) sound.push(wave.slice(at, at + 100));
  sound.finish();
  await new Promise((resolve) => setTimeout(resolve, 100));
  const rendered = (await context.startRendering()).getChannelData(0);
  return { heard: Array.from(rendered.slice(0, 2400)), gaps: (await sound.ended).gaps };
}"""
PACED = """async () => {
  const { Player } = await import("/player.js");
  const [rate, seconds, pace] = [8000, 2, 1.5];  // frames of 50 ms, faster than real time
  const player = await Player.open(rate);
  const sound = player.sound({ total: seconds * rate });
  const first = performance.now();
  let began = null;
  sound.begun.then(() => (began = performance.now()));
  let [have, ahead] = [0, Infinity];
  while (have < seconds * rate) {
    const now = (performance.now() - first) / 1000;
    if (began !== null) ahead = Math.min(ahead, have / rate - (now - (began - first) / 1000));
    const due = Math.min(seconds * rate, Math.ceil(pace * rate * (now + 0.05)));
    sound.push(new Float32Array(due - have).fill(0.1));
    have = due;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  sound.finish();
  const { gaps } = await sound.ended;
  await player.close();
  return { delay: began - first, gaps, ahead };
}"""
PAINT = """async () => {
  const { Painter } = await import("/painter.js");
  const canvas = document.createElement("canvas");
  const started = { shape: [3, 1, 2], dims_per_site: 3 };
  const painter = new Painter(canvas, { levels: 256 }, started);
  painter.paint({ firstSite: 1, count: 1, values: Uint8Array.of(10, 20, 30) });
  return Array.from(canvas.getContext("2d").getImageData(0, 0, 2, 1).data);
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page of the sources' own origin."""
    handler = functools.partial(Quiet, directory=SOURCES)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        found = browser.new_page()
        found.goto(f"http://127.0.0.1:{server.server_port}/")
        yield found
        found.close()
        server.shutdown()


def test_sound_is_heard_sample_by_sample(page: Any) -> None:
    found = page.evaluate(PLAY)
    assert found["gaps"] == 0
    wave = page.evaluate(
        "() => Array.from({length: 1200}, (_, n) => Math.trunc(16384 * Math.sin(n / 20)) / 32768)"
    )
    assert found["heard"][::2] == pytest.approx(wave, abs=1e-6)  # 48 kHz holds each twice


def test_it_begins_soon_and_has_no_gap(page: Any, capsys: pytest.CaptureFixture[str]) -> None:
    page.mouse.click(5, 5)  # sound follows a click only
    found = page.evaluate(PACED)
    told = "sound {delay:.0f} ms after the first frame, {gaps} gaps, at least {ahead:.2f} s ahead"
    with capsys.disabled():
        sys.stdout.write(f"\n{told.format_map(found)}\n")
    assert found["gaps"] == 0 or found["ahead"] < 0.05  # a machine too busy to keep ahead


def test_pictures_are_painted(page: Any) -> None:
    assert page.evaluate(PAINT) == [0, 0, 0, 0, 10, 20, 30, 255]
