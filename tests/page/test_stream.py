"""A job on the page: what it says to the socket, and how it ends, exactly once."""

from __future__ import annotations

from pathlib import Path

from tests.page.node import run

FAKE = """
import { Job, streamUrl } from "./stream.js";

class Socket {
  sent = [];
  closed = null;
  send(text) { this.sent.push(JSON.parse(text)); }
  close(code) { this.closed ??= code; }
  say(message) { this.onmessage({ data: JSON.stringify(message) }); }
  values(item, firstSite, last, ...values) {
    const data = new DataView(new ArrayBuffer(24 + values.length));
    data.setUint8(0, 1);
    data.setUint8(3, last ? 1 : 0);
    data.setUint32(8, item, true);
    data.setUint32(12, values.length, true);
    data.setBigUint64(16, BigInt(firstSite), true);
    values.forEach((value, i) => data.setUint8(24 + i, value));
    this.onmessage({ data: data.buffer });
  }
}
const STARTED = { type: "started", job: "j", count: 1, sites: 3, dims_per_site: 1, dtype: "uint8" };

function begin() {
  const socket = new Socket();
  const told = [];
  const on = Object.fromEntries(
    ["queued", "started", "values", "done", "canceled", "failed"].map((name) => [
      name,
      (message) => told.push([name, message]),
    ]),
  );
  const job = new Job("ws://here/stream", { model: "m", count: 1 }, on, () => socket);
  socket.onopen();
  return { socket, told, job, names: () => told.map(([name]) => name) };
}
"""

ENDS = (
    FAKE
    + """
{ // a whole job
  const { socket, told, names } = begin();
  assert.deepEqual(socket.sent, [{ type: "generate", ref: "page", model: "m", count: 1 }]);
  socket.say({ type: "queued", job: "j" });
  socket.say(STARTED);
  socket.values(0, 0, false, 4, 5);
  socket.values(0, 2, true, 6);
  socket.say({ type: "done", job: "j", items: [] });
  socket.onclose({ code: 1000 });
  assert.deepEqual(names(), ["queued", "started", "values", "values", "done"]);
  assert.deepEqual(Array.from(told[2][1].values), [4, 5]);
  assert.equal(socket.closed, 1000);
}
{ // cancelled while it runs: the server is told, and what it says ends the job
  const { socket, job, names } = begin();
  socket.say(STARTED);
  job.cancel();
  job.cancel();
  assert.deepEqual(socket.sent.slice(1), [{ type: "cancel", job: "j" }]);
  socket.values(0, 0, false, 4);
  socket.say({ type: "canceled", job: "j" });
  job.cancel();
  assert.deepEqual(names(), ["started", "values", "canceled"]);
}
{ // cancelled before it has a name: closing the socket is enough
  const { socket, job, names } = begin();
  job.cancel();
  socket.say(STARTED);
  assert.deepEqual(names(), ["canceled"]);
  assert.equal(socket.closed, 1000);
}
for (const [spoil, detail] of [
  [(socket) => socket.values(0, 0, false, 1), /before .started/],
  [(socket) => { socket.say(STARTED); socket.values(0, 1, false, 1); }, /goes on at site 1, not 0/],
  [(socket) => { socket.say(STARTED); socket.say({ type: "done" }); }, /before the last site/],
  [(socket) => socket.onmessage({ data: "{" }), /JSON/],
  [(socket) => socket.onmessage({ data: new ArrayBuffer(3) }), /header has 24/],
  [(socket) => socket.say({ type: "error", error: { detail: "no such model" } }), /no such model/],
  [(socket) => socket.onclose({ code: 1011, reason: "" }), /fault/],
  [(socket) => socket.onclose({ code: 1013, reason: "come back" }), /come back/],
  [(socket) => socket.onclose({ code: 4001, reason: "" }), /4001/],
]) {
  const { socket, told } = begin();
  spoil(socket);
  socket.say({ type: "error", error: { detail: "later" } });
  const [name, problem] = told.at(-1);
  assert.equal(name, "failed");
  assert.match(problem.detail, detail);
}
"""
)

URL = (
    FAKE
    + """
assert.equal(streamUrl({ href: "http://localhost:8000/#model" }), "ws://localhost:8000/stream");
assert.equal(streamUrl({ href: "https://a.example/under/" }), "wss://a.example/under/stream");
"""
)


def test_every_job_ends_once(tmp_path: Path) -> None:
    run(ENDS, tmp_path)


def test_the_socket_is_beside_the_page(tmp_path: Path) -> None:
    run(URL, tmp_path)
