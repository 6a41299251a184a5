"""The player and the painter in a browser: Chromium's own AudioWorklet and canvas."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.page.conftest import browser, new_context

__all__ = ["browser"]

SOURCES = Path(__file__).parents[2] / "clients" / "js" / "src"
# An OfflineAudioContext keeps a clock of its own, which stands still while it is suspended: nothing
# here depends on the machine's. What was posted to a sound has reached it once an echo has come
# back from the thread on which both live.
OFFLINE = """
async function offline(rate, frames, sampleRate) {
  const { Player } = await import("/player.js");
  const context = new OfflineAudioContext(1, frames, sampleRate);
  const goOn = context.resume.bind(context);
  context.resume = async () => {};  // it runs by startRendering
  const player = await Player.open(rate, { context });
  const echo = "registerProcessor('echo', class extends AudioWorkletProcessor {" +
    "constructor() { super(); this.port.onmessage = () => this.port.postMessage(0); }" +
    "process() { return true; } });";
  const module = new Blob([echo], { type: "text/javascript" });
  await context.audioWorklet.addModule(URL.createObjectURL(module));
  const { port } = new AudioWorkletNode(context, "echo");
  const arrived = async () => {
    for (let i = 0; i < 5; i++) {
      await new Promise((resolve) => { port.onmessage = resolve; port.postMessage(0); });
    }
  };
  return { context, goOn, player, arrived };
}
"""
PLAY = """async () => {
  const { context, player, arrived } = await offline(24000, 4800, 48000);
  const sound = player.sound({ lead: 0.01 });
  const wave = Int16Array.from({ length: 1200 }, (_, n) => 16384 * Math.sin(n / 20));
  for (let at = 0; at < 1200; at += 100) sound.push(wave.slice(at, at + 100));
  sound.finish();
  await arrived();
  const rendered = (await context.startRendering()).getChannelData(0);
  return { heard: Array.from(rendered.slice(0, 2400)), gaps: (await sound.ended).gaps };
}"""
PACED = """async () => {
  const [rate, seconds, pace] = [8000, 2, 1.5];  // frames of 50 ms, faster than real time
  const { context, goOn, player, arrived } = await offline(rate, 3 * rate, rate);
  const sound = player.sound({ total: seconds * rate });
  let have = 0;
  const push = async (now) => {
    const due = Math.min(seconds * rate, Math.ceil(pace * rate * (now + 0.05)));
    if (due > have) sound.push(new Float32Array(due - have).fill(0.1));
    have = due;
    if (have === seconds * rate) sound.finish();
    await arrived();
  };
  await push(0);
  for (let now = 0.05; now < 2.9; now += 0.05) {
    context.suspend(now).then(() => push(now)).then(goOn);
  }
  const rendered = Array.from((await context.startRendering()).getChannelData(0));
  const { gaps } = await sound.ended;
  const heard = rendered.map((sample) => sample > 0.05);
  const [first, last] = [heard.indexOf(true), heard.lastIndexOf(true)];
  return { delay: first / rate, sounding: last - first + 1, gaps };
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
        context = new_context(browser)
        found = context.new_page()
        found.goto(f"http://127.0.0.1:{server.server_port}/")
        yield found
        context.close()
        server.shutdown()


def run(page: Any, script: str) -> Any:
    page.add_script_tag(content=OFFLINE)
    return page.evaluate(script)


def test_sound_is_heard_sample_by_sample(page: Any) -> None:
    found = run(page, PLAY)
    assert found["gaps"] == 0
    wave = page.evaluate(
        "() => Array.from({length: 1200}, (_, n) => Math.trunc(16384 * Math.sin(n / 20)) / 32768)"
    )
    assert found["heard"][::2] == pytest.approx(wave, abs=1e-6)  # 48 kHz holds each twice


def test_it_begins_soon_and_has_no_gap(page: Any) -> None:
    found = run(page, PACED)
    assert found["delay"] < 0.1  # LEAD_SECONDS of it are there after 50 ms
    assert found["gaps"] == 0
    assert found["sounding"] == 2 * 8000


def test_pictures_are_painted(page: Any) -> None:
    assert page.evaluate(PAINT) == [0, 0, 0, 0, 10, 20, 30, 255]
