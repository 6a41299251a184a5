/** Against a real server at ANCESTRAL_URL; a relay on the way drops connections. */

import assert from "node:assert/strict";
import { createServer, connect } from "node:net";
import { test } from "node:test";

import { AncestralError, Client, ProblemError, Unreachable } from "../src/index.js";

const url = process.env.ANCESTRAL_URL;
const LONG = { sites: 100_000, seed: 5, condition: { label: 1 } };
const ENDLESS = { ...LONG, sites: 50_000_000 }; // minutes of drawing: it ends when its test ends it
const CUTS = [20_000, 15_000]; // bytes of answers after which a connection is dropped
const bits = Array.from({ length: 64 }, (_, n) => Array.from({ length: 6 }, (_, k) => (n >> k) & 1));
const WAYS = { socket: {}, events: { WebSocket: null } };

/** Runs `work(url)` behind a relay that drops connections after so many bytes of an answer. */
async function relayed(work) {
  const open = new Set();
  const cuts = [...CUTS];
  const { hostname, port } = new URL(url);
  const relay = createServer((client) => {
    const server = connect(Number(port), hostname);
    for (const [from, to] of [[client, server], [server, client]]) {
      open.add(from);
      from.on("error", () => {}).on("close", () => to.destroySoon());
    }
    client.pipe(server);
    let sent = 0;
    server.on("data", (data) => {
      const left = (cuts[0] ?? Infinity) - sent;
      client.write(data.subarray(0, left));
      sent += data.length;
      if (left >= data.length) return;
      cuts.shift();
      server.removeAllListeners("data").destroy();
    });
  });
  await new Promise((resolve) => relay.listen(0, "127.0.0.1", resolve));
  try {
    await work(`http://127.0.0.1:${relay.address().port}`);
  } finally {
    for (const each of open) each.destroy();
    relay.close();
  }
}

const ended = async (client, id) => (await client.wait(id)).state;

test("all probabilities sum to one, in order", async () => {
  const client = new Client(url);
  const scores = await client.logProb("tiny-made", bits, { batchSize: 5 });
  assert.deepEqual(scores.map((score) => score.index), bits.map((_, index) => index));
  const total = scores.reduce((sum, score) => sum + Math.exp(score.log_prob), 0);
  assert.ok(Math.abs(total - 1) < 1e-6);
  const typed = await client.logProb("tiny-made", [Uint8Array.from(bits[3])]);
  assert.ok(Math.abs(typed[0].log_prob - scores[3].log_prob) < 1e-5);
});

test("representations are what the server says", async () => {
  const item = [0, 1, 1, 0].map((bit) => [bit, bit, 0, 1]);
  const body = JSON.stringify({ model: "tiny-gpt", inputs: [item], layer: 1 });
  const headers = { "Content-Type": "application/json" };
  const wanted = (await (await fetch(`${url}/embed`, { method: "POST", headers, body })).json()).results[0];
  const found = await new Client(url).embed("tiny-gpt", [item, [[1]], item], { layer: 1, batchSize: 2 });
  assert.deepEqual(found.map(({ index }) => index), [0, 1, 2]);
  assert.deepEqual([found[0].embedding, found[2].embedding], [wanted.embedding, wanted.embedding]);
  assert.equal(found[1].error.status, 422);
});

test("models, samples, jobs and files", async () => {
  const client = new Client(url);
  assert.ok((await client.models()).some((model) => model.name === "tiny-made"));
  assert.equal((await client.model("tiny-made/1")).kind, "vector");
  const one = await client.sample("tiny-pixelcnn", { seed: 1, condition: { label: 0 } });
  const png = await client.download(one.job, "image/png");
  const [score] = await client.logProb("tiny-pixelcnn", [png], { condition: { label: 0 } });
  assert.ok(Math.abs(score.log_prob - one.items[0].log_prob) < 1e-5);
  const id = await client.submit("tiny-pixelcnn", { seed: 1, condition: { label: 0 } });
  assert.equal(await ended(client, id), "done");
  assert.deepEqual((await client.result(id)).items[0].data, one.items[0].data);
});

/** 16-bit mono WAV of a sinusoid of 50 Hz, `seconds` long, `rate` samples a second. */
function tone(rate, seconds) {
  const samples = Int16Array.from({ length: rate * seconds }, (_, i) => 16000 * Math.sin((100 * Math.PI * i) / rate));
  const head = new DataView(new ArrayBuffer(44));
  const words = { 0: 0x46464952, 4: 36 + samples.byteLength, 8: 0x45564157, 12: 0x20746d66, 16: 16 };
  Object.assign(words, { 20: 0x10001, 24: rate, 28: 2 * rate, 32: 0x100002, 36: 0x61746164, 40: samples.byteLength });
  for (const [at, word] of Object.entries(words)) head.setUint32(Number(at), word, true);
  return new Blob([head, samples], { type: "audio/wav" });
}

test("only jobs that were made are ended", async () => {
  const asked = [];
  const watching = async (path, options) => {
    const response = await fetch(path, options);
    asked.push([options.method, response.status]);
    return response;
  };
  const client = new Client(url, { fetch: watching });
  const read = async (options) => {
    for await (const frame of client.stream("tiny-wavenet", options)) if (frame) break;
  };
  await assert.rejects(read({ condition: { label: 99 } }), ProblemError);
  assert.deepEqual(asked, [["PUT", 422]]);
  const control = new AbortController();
  const reading = read({ ...LONG, signal: control.signal });
  control.abort(new Error("enough")); // while the job is being made
  await assert.rejects(reading, /enough/);
  while (asked.length < 3) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(asked.slice(1), [["PUT", 202], ["DELETE", 200]]);
});

test("a recording is a condition, at any rate", async () => {
  const client = new Client(url);
  const asked = { seed: 4, condition: { mel: tone(8000, 0.3) } };
  const refused = client.sample("tiny-wavernn", asked);
  await assert.rejects(refused, ({ status, message }) => status === 422 && message.includes('"fit": true'));
  const { notes, items } = await client.sample("tiny-wavernn", { ...asked, fit: true });
  assert.deepEqual(notes, ["mel: resampled 8000 Hz to 1000 Hz"]);
  assert.equal(items[0].data.length, 300);
  const stream = client.stream("tiny-wavernn", { seed: 4, count: 2, fit: true, condition: { mel: [tone(8000, 0.3), tone(1000, 0.3)] } });
  const first = [];
  for await (const { item, values } of stream) if (item === 0) first.push(...values);
  assert.deepEqual(first, items[0].data);
  const [score] = await client.logProb("tiny-wavernn", [items[0].data], { fit: true, condition: { mel: tone(8000, 0.3) } });
  assert.deepEqual(score.fit, notes);
  assert.ok(Math.abs(score.log_prob - items[0].log_prob) < 1e-4);
});

test("batches", async () => {
  const lines = [
    { custom_id: "a", url: "/sample", body: { model: "tiny-made" } },
    { custom_id: "b", url: "/sample", body: { model: "absent" } },
  ];
  const found = {};
  for await (const { custom_id, response } of new Client(url).batch(lines)) {
    found[custom_id] = response.status_code;
  }
  assert.deepEqual(found, { a: 200, b: 404 });
});

test("refusals carry the problem document", async () => {
  const client = new Client(url);
  await assert.rejects(client.sample("tiny-made", { temperature: -1 }), (error) => {
    assert.ok(error instanceof ProblemError);
    assert.equal(error.status, 422);
    assert.equal(error.errors[0].field, "temperature");
    return true;
  });
  await assert.rejects(client.stream("absent")[Symbol.asyncIterator]().next(), { status: 404 });
  await assert.rejects(new Client("http://127.0.0.1:9", { patience: 1e6 }).models(), Unreachable);
});

for (const [way, options] of Object.entries(WAYS)) {
  if (way === "socket" && globalThis.WebSocket === undefined) continue;

  test(`a stream resumes where it was (${way})`, async () => {
    await relayed(async (relay) => {
      const stream = new Client(relay, options).stream("tiny-wavenet", LONG);
      const values = [];
      for await (const frame of stream) {
        assert.equal(frame.firstSite, values.length);
        values.push(...frame.values);
      }
      assert.ok(stream.connections > CUTS.length);
      const whole = await new Client(url).sample("tiny-wavenet", LONG);
      assert.deepEqual(values, whole.items[0].data);
      assert.ok(Math.abs(stream.done.items[0].log_prob - whole.items[0].log_prob) < 1e-5);
    });
  });

  test(`leaving the loop, and aborting, cancel the job (${way})`, async () => {
    const client = new Client(url, options);
    const left = client.stream("tiny-wavenet", ENDLESS);
    for await (const frame of left) {
      assert.equal(frame.firstSite, 0);
      break;
    }
    assert.equal(await ended(client, left.job), "canceled");
    await assert.rejects(left[Symbol.asyncIterator]().next(), AncestralError);
    const control = new AbortController();
    const aborted = client.stream("tiny-wavenet", { ...ENDLESS, signal: control.signal });
    await assert.rejects(async () => {
      for await (const _ of aborted) control.abort();
    }, { name: "AbortError" });
    assert.equal(await ended(client, aborted.job), "canceled");
  });
}

for (const [way, options] of Object.entries(WAYS)) {
  if (way === "socket" && globalThis.WebSocket === undefined) continue;

  test(`a paused stream goes on where it was, and tells how likely it is so far (${way})`, async () => {
    const client = new Client(url, options);
    const stream = client.stream("tiny-wavenet", { ...LONG, progress: true });
    const values = [];
    let paused = 0;
    for await (const frame of stream) {
      assert.equal(frame.firstSite, values.length);
      values.push(...frame.values);
      if (paused++ > 0) continue;
      stream.pause();
      assert.ok(stream.paused);
      setTimeout(() => stream.resume(), 100);
    }
    const whole = await client.sample("tiny-wavenet", LONG);
    assert.deepEqual(values, whole.items[0].data);
    assert.equal(stream.progress[0].sites, LONG.sites);
    assert.ok(Math.abs(stream.progress[0].log_prob - whole.items[0].log_prob) < 1e-4);
  });
}

test("an abort ends a stream that is paused", async () => {
  const client = new Client(url);
  const control = new AbortController();
  const stream = client.stream("tiny-wavenet", { ...ENDLESS, signal: control.signal });
  await assert.rejects(async () => {
    for await (const _ of stream) {
      stream.pause();
      setTimeout(() => control.abort(), 50);
    }
  }, { name: "AbortError" });
  assert.equal(await ended(client, stream.job), "canceled");
});
