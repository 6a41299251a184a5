"""What the page asks of POST /log_prob, and the words for its answer."""

from __future__ import annotations

from pathlib import Path

from tests.page.node import run

REQUEST = """
import { scoreOptions } from "./score.js";

const plain = { conditions: [] };
const labelled = { conditions: [{ name: "label", kind: "label" }] };
const asked = ["log_prob", "bits_per_dim", "percentile", "per_dim", "data"];
assert.deepEqual(scoreOptions(plain, { fit: true }), { return: asked, fit: true });
assert.deepEqual(scoreOptions(plain, { brief: true }).return, asked.slice(0, 3));
assert.equal(scoreOptions(labelled).marginal, true);
const known = scoreOptions(labelled, { condition: { label: 3 } });
assert.deepEqual([known.condition, known.marginal], [{ label: 3 }, undefined]);
const two = { conditions: [...labelled.conditions, { name: "voice", kind: "label" }] };
const half = scoreOptions(two, { condition: { voice: 0 } });
assert.deepEqual([half.condition, half.marginal], [{ voice: 0 }, true]);
"""

VERDICT = """
import { verdict } from "./score.js";

const levels = [0, 0.99, 1, 4.99, 5, 50, 100].map((share) => verdict(share, 1000).level);
assert.deepEqual(levels, [
  "anomalous",
  "anomalous",
  "unusual",
  "unusual",
  "typical",
  "typical",
  "typical",
]);
assert.equal(verdict(0, 1000).detail, "Less likely than every one of 1,000 held-out items.");
assert.equal(verdict(100, 50).detail, "More likely than every one of 50 held-out items.");
assert.equal(verdict(3.21, 50).detail, "More likely than 3.2 % of 50 held-out items.");
assert.equal(verdict(62.5, 50).detail, "More likely than 63 % of 50 held-out items.");
assert.equal(verdict(99.9, 1000).detail, "More likely than 99.9 % of 1,000 held-out items.");
assert.equal(verdict(null, 0).level, "none");
"""

INPUT = """
import { UnreadableFile, asInput } from "./score.js";

globalThis.FileReader = class {
  readAsDataURL(blob) {
    blob.arrayBuffer().then((bytes) => {
      this.result = "data:;base64," + Buffer.from(bytes).toString("base64");
      this.onload();
    });
  }
};
const file = (name, type) => new File([Uint8Array.of(1, 2, 255)], name, { type });
const model = { sample_rate: 8000 };
for (const [name, type, sent] of [
  ["a.png", "image/png", "image/png"],
  ["a.jpg", "image/jpeg", "image/jpeg"],
  ["a.wav", "audio/wav", "audio/wav"],
  ["a.npy", "", "application/x-npy"],
]) {
  const { input, steps } = await asInput(file(name, type), model);
  assert.deepEqual(input, { data: "AQL/", content_type: sent });
  assert.deepEqual(steps, []);
}
for (const [name, type] of [["a.txt", "text/plain"], ["a", ""], ["a.webp", "image/webp"]]) {
  await assert.rejects(asInput(file(name, type), model), UnreadableFile);
}
"""


def test_the_request_asks_for_everything_that_is_shown(tmp_path: Path) -> None:
    run(REQUEST, tmp_path)


def test_percentiles_in_words(tmp_path: Path) -> None:
    run(VERDICT, tmp_path)


def test_files_go_as_they_are_where_the_server_reads_them(tmp_path: Path) -> None:
    run(INPUT, tmp_path)
