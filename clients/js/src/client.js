/** Everything that can be asked of a server, over fetch and WebSocket. */

import { linesOf } from "./lines.js";
import { AncestralError, Backoff, ProblemError, Unreachable, problemOf, sleep } from "./problem.js";
import { Stream } from "./stream.js";

const BATCH_ITEMS = 32;
const CONCURRENCY = 4;
const LONGEST_PAUSE_SECONDS = 2; // between two looks at a job
const LARGEST_SEED = 2n ** 53n;

/** 128 random bits; not by randomUUID, which browsers keep from pages that came without TLS. */
const freshId = () => {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
};
const freshSeed = () => Number(crypto.getRandomValues(new BigUint64Array(1))[0] % LARGEST_SEED);

/** The path of a model: NAME, or NAME/VERSION. */
function pathOf(name, verb = "") {
  const [base, version] = name.split("/");
  const query = version === undefined ? "" : `?version=${encodeURIComponent(version)}`;
  return `/models/${encodeURIComponent(base)}${verb}${query}`;
}

/** The body of a sampling request. It names a seed, so that it can be repeated. */
export function sampleBody(model, options) {
  const seed = options.seed ?? freshSeed();
  return { ...options, model, seed: typeof seed === "bigint" ? String(seed) : seed };
}

export class Client {
  #reached = false; // whether the server has ever answered

  /**
   * `patience`: seconds for which a server that was there before may be away, or full. `fetch` and
   * `WebSocket` stand in for the platform's; without a WebSocket, streams come as events.
   * `onWait(error)` is told of each failure that is waited out.
   */
  constructor(url = "http://127.0.0.1:8000", options = {}) {
    this.url = url.replace(/\/$/, "");
    this.patience = options.patience ?? 60;
    this.apiKey = options.apiKey ?? null;
    this.onWait = options.onWait ?? (() => {});
    this.fetch = options.fetch ?? ((...request) => fetch(...request));
    this.WebSocket = options.WebSocket === undefined ? globalThis.WebSocket : options.WebSocket;
  }

  /** An answer that is a success. Throws ProblemError or Unreachable; everything may be repeated. */
  async request(method, path, { body, headers = {}, signal } = {}) {
    const backoff = new Backoff(this.patience);
    for (;;) {
      try {
        return await this.once(method, path, { body, headers, signal });
      } catch (error) {
        await this.recover(backoff, error, signal);
      }
    }
  }

  /** As `request`, tried once. */
  async once(method, path, { body, headers = {}, ...options } = {}) {
    const sent = { ...headers };
    if (this.apiKey !== null) sent.Authorization = `Bearer ${this.apiKey}`;
    const plain = body !== undefined && typeof body !== "string" && !(body instanceof FormData);
    if (plain) sent["Content-Type"] = "application/json";
    const content = plain ? JSON.stringify(await withFiles(body)) : body;
    const response = await this.fetch(this.url + path, { method, headers: sent, body: content, ...options });
    this.#reached = true;
    if (!response.ok) throw await problemOf(response);
    return response;
  }

  /** Waits before the next try; throws where there should be none. */
  async recover(backoff, error, signal) {
    if (signal?.aborted) throw error;
    if (error instanceof AncestralError && !(error instanceof ProblemError)) throw error;
    let pause = null;
    if (error instanceof ProblemError) {
      if (error.passes) pause = backoff.pause(error.retryAfter);
      if (pause === null) throw error;
    } else {
      if (!(error instanceof TypeError || error.name === "ConnectionLost")) throw error;
      if (this.#reached) pause = backoff.pause();
      if (pause === null) throw new Unreachable(`${this.url}: ${error.message}`, { cause: error });
    }
    this.onWait(error);
    await sleep(pause, signal);
  }

  /** Every model of the store, in its default version. */
  async models() {
    return (await (await this.request("GET", "/models")).json()).models;
  }

  /** One model: NAME, or NAME/VERSION. */
  async model(name) {
    return (await this.request("GET", pathOf(name))).json();
  }

  /** Has every worker that serves a model load it; resolves once they hold it. */
  async load(name) {
    return (await this.request("POST", pathOf(name, "/load"))).json();
  }

  /** Has every worker give a model up, when the jobs that have started are done. */
  async unload(name) {
    return (await this.request("POST", pathOf(name, "/unload"))).json();
  }

  /** A short-lived stand-in for the key, for sockets; null where nobody is asked for one. */
  async token() {
    if (this.apiKey === null) return null;
    try {
      return (await (await this.request("POST", "/tokens")).json()).token;
    } catch (error) {
      if (error.status === 409) return null;
      throw error;
    }
  }

  /** {status, reasons}: whether every wanted model is loaded, and if not, why. */
  async ready() {
    return (await this.fetch(`${this.url}/health/status`)).json();
  }

  /** {workers, waiting}: who works on how many slots, and how many jobs wait for each model. */
  async workers() {
    return (await this.request("GET", "/workers")).json();
  }

  /** The server's figures, in Prometheus' text format. */
  async metrics() {
    return (await this.request("GET", "/metrics")).text();
  }

  /** All scores, in the order of the items: see `scores`. */
  async logProb(model, inputs, options = {}) {
    return listOf(this.scores(model, inputs, options));
  }

  /**
   * {index, embedding} of all items: the hidden state after `layer` layers, averaged over positions. Items
   * and options are as for `scores`.
   */
  async embed(model, inputs, options = {}) {
    return listOf(this.#results("/embed", model, inputs, options));
  }

  /**
   * Scores of an iterable (or async iterable) of items, each as soon as those before it are there.
   * An item is nested numbers, a typed array, text, or a Blob of a file; options are those of
   * POST /log_prob, and batchSize, concurrency, signal. A bad item's score has `error`.
   * `condition` holds for all items.
   */
  async *scores(model, inputs, options = {}) {
    yield* this.#results("/log_prob", model, inputs, options);
  }

  async *#results(path, model, inputs, settings) {
    const { batchSize = BATCH_ITEMS, concurrency = CONCURRENCY, signal, ...options } = settings;
    const running = [];
    let asked = 0;
    const send = async (items, first) => {
      const body = { ...options, model, inputs: await Promise.all(items.map(inputOf)) };
      const answer = await (await this.request("POST", path, { body, signal })).json();
      return answer.results.map((result) => ({ ...result, index: first + result.index }));
    };
    const start = (items) => {
      const work = send(items, asked);
      work.catch(() => {}); // it is thrown where it is awaited
      running.push(work);
      asked += items.length;
    };
    let items = [];
    for await (const item of inputs) {
      items.push(item);
      if (items.length < batchSize) continue;
      start(items);
      items = [];
      if (running.length >= concurrency) yield* await running.shift();
    }
    if (items.length > 0) start(items);
    while (running.length > 0) yield* await running.shift();
  }

  /** Draws items and waits for them; an abort cancels the job. */
  async sample(model, { signal, ...options } = {}) {
    const id = freshId();
    try {
      const body = sampleBody(model, options);
      return await (await this.request("PUT", `/sample/${id}`, { body, signal })).json();
    } catch (error) {
      if (signal?.aborted) await this.forget(id);
      throw error;
    }
  }

  /** Items while they are drawn: an async iterable of frames, see Stream. */
  stream(model, { signal, format = "codes", progress = false, ...options } = {}) {
    return new Stream(this, freshId(), sampleBody(model, options), { format, progress, signal });
  }

  /** Draws items without waiting for them; the job's id. */
  async submit(model, options = {}) {
    const id = freshId();
    const headers = { Prefer: "respond-async" };
    await this.request("PUT", `/sample/${id}`, { body: sampleBody(model, options), headers });
    return id;
  }

  /** How a job stands. */
  async job(id) {
    const answer = await (await this.request("GET", `/jobs/${id}`)).json();
    return "state" in answer ? answer : { id, model: answer.model, state: "done" };
  }

  /** The job once it has ended, well or not. */
  async wait(id, { signal } = {}) {
    for (let pause = 0.05; ; pause = Math.min(2 * pause, LONGEST_PAUSE_SECONDS)) {
      const job = await this.job(id);
      if (!["queued", "running"].includes(job.state)) return job;
      await sleep(pause, signal);
    }
  }

  /** What the job's request would have answered. */
  async result(id) {
    return (await this.request("GET", `/jobs/${id}/result`)).json();
  }

  /** The result as a file: image/png, audio/wav, audio/midi, text/plain, application/x-npy. */
  async download(id, mediaType) {
    return (await this.request("GET", `/jobs/${id}/result`, { headers: { Accept: mediaType } })).blob();
  }

  async cancel(id) {
    return (await this.request("DELETE", `/jobs/${id}`)).json();
  }

  /** Ends a job that nobody waits for; what stands in the way of that is of no interest. */
  async forget(id) {
    const keepalive = true; // also from a page that is left
    await this.once("DELETE", `/jobs/${id}`, { keepalive }).catch(() => {});
  }

  /** Answers {custom_id, response} to lines {custom_id, url, body}, as they end. */
  async *batch(lines, { key = freshId(), signal } = {}) {
    const body = lines.map((line) => JSON.stringify(line)).join("\n");
    const headers = { "Content-Type": "application/jsonl", "Idempotency-Key": key };
    const waiting = new Set(lines.map((line) => line.custom_id));
    const backoff = new Backoff(this.patience);
    while (waiting.size > 0) {
      try {
        const response = await this.once("POST", "/batches", { body, headers, signal });
        for await (const line of linesOf(response.body)) {
          const answer = JSON.parse(line);
          if (waiting.delete(answer.custom_id)) yield answer;
        }
        if (waiting.size > 0) throw new TypeError(`${waiting.size} lines were not answered`);
      } catch (error) {
        await this.recover(backoff, error, signal);
      }
    }
  }
}

async function listOf(each) {
  const found = [];
  for await (const one of each) found.push(one);
  return found;
}

/** A body with a condition's files as JSON; a list of them holds one for each item. */
async function withFiles(body) {
  if (!body.condition) return body;
  const each = Object.entries(body.condition).map(async ([name, value]) => {
    const listed = Array.isArray(value) && value[0] instanceof Blob;
    return [name, listed ? await Promise.all(value.map(inputOf)) : await inputOf(value)];
  });
  return { ...body, condition: Object.fromEntries(await Promise.all(each)) };
}

/** An item as JSON: typed arrays as lists, Blobs as files in base64. */
async function inputOf(item) {
  if (item instanceof Blob) {
    const bytes = new Uint8Array(await item.arrayBuffer());
    let text = "";
    for (const byte of bytes) text += String.fromCharCode(byte);
    return { data: btoa(text), ...(item.type ? { content_type: item.type } : {}) };
  }
  return ArrayBuffer.isView(item) ? Array.from(item) : item;
}
