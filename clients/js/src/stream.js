/**
 * One sampling job, read through as many connections as it takes.
 *
 * The job is made by PUT /sample/{id} under an id and a seed of the client's, so that it goes on
 * while nobody listens and can be met again: a new connection resumes at the first site that has
 * not arrived. A server that lost the job draws the same values again; the fingerprint tells.
 */

import { FrameError, Ledger, SUBPROTOCOL, after, decodeFrame, frameOfEvent } from "./frames.js";
import { linesOf } from "./lines.js";
import { AncestralError, Backoff, JobCanceled, ProblemError } from "./problem.js";

const REFUSALS = [1003, 1008, 1009]; // close codes where another socket would not help

class ConnectionLost extends Error {
  name = "ConnectionLost";
}

/** Why a connection ends when a stream is paused. */
class Paused extends Error {}

/**
 * `for await (const frame of stream)`, once: {item, firstSite, count, values, last, dims, dtype}.
 * Leaving the loop cancels the job, as does the signal. `started` is there with the first frame,
 * `done` (the scores) at the end. Where `progress` was asked for, it has {sites, log_prob} of each
 * item so far, in nats.
 */
export class Stream {
  started = null;
  done = null;
  connections = 0;
  progress = [];
  #client;
  #body;
  #format;
  #tells;
  #signal;
  #inbox = null;
  #gate = null; // a promise and its resolve, while paused
  #ledger = null;
  #read = false;
  #made = null; // the request that makes the job
  #told = Promise.resolve(); // what the server was told last

  constructor(client, job, body, { format, progress, signal }) {
    this.job = job;
    this.#client = client;
    this.#body = body;
    this.#format = format;
    this.#tells = progress;
    this.#signal = signal;
  }

  /** Whether it is paused. */
  get paused() {
    return this.#gate !== null;
  }

  /**
   * Stops the frames until `resume`, and the drawing: the job's slots go to others meanwhile. After
   * some minutes the server goes on by itself, and keeps what it draws.
   */
  pause() {
    if (this.paused || this.done !== null) return;
    let open;
    const promise = new Promise((resolve) => (open = resolve));
    this.#gate = { promise, open };
    this.#inbox?.fail(new Paused());
    this.#tell("pause");
  }

  resume() {
    if (!this.paused) return;
    this.#gate.open();
    this.#gate = null;
    this.#tell("unpause");
  }

  /** Says so to the server, one thing after the other; where it is away, frames alone stop. */
  #tell(what) {
    const say = () => this.#client.once("POST", `/jobs/${this.job}/${what}`).catch(() => {});
    this.#told = this.#told.then(say);
  }

  async *[Symbol.asyncIterator]() {
    if (this.#read) throw new AncestralError("a stream is read once");
    this.#read = true;
    const backoff = new Backoff(this.#client.patience);
    try {
      while (this.done === null) {
        try {
          while (this.paused) await unlessAborted(this.#gate.promise, this.#signal);
          await this.#make();
          this.connections++;
          const messages = this.#client.WebSocket ? this.#socket() : this.#events();
          for await (const frame of messages) {
            backoff.rest();
            yield frame;
            if (this.paused) throw new Paused();
          }
          if (this.done === null) throw new ConnectionLost("the stream ended early");
        } catch (error) {
          if (!(error instanceof Paused)) await this.#client.recover(backoff, error, this.#signal);
        }
      }
    } finally {
      if (this.done === null) await this.#leave();
    }
  }

  /** Makes the job, or meets it again; a request on its way is let arrive, so that we know what to end. */
  #make() {
    const headers = { Prefer: "respond-async" };
    this.#made = this.#client.once("PUT", `/sample/${this.job}`, { body: this.#body, headers });
    return unlessAborted(this.#made, this.#signal);
  }

  /** Ends the job, unless the server refused to make it. */
  async #leave() {
    const refused = (error) => this.connections === 0 && error instanceof ProblemError;
    const made = this.#made?.then(() => true, (error) => !refused(error));
    const left = made?.then((there) => there && this.#client.forget(this.job));
    if (!this.#signal?.aborted) await left;
  }

  async *#socket() {
    const { url, WebSocket } = this.#client;
    const token = await this.#client.token();
    const protocols = token === null ? [] : [`ancestral.token.${token}`]; // no headers in browsers
    const socket = new WebSocket(`${url.replace(/^http/, "ws")}/stream`, [SUBPROTOCOL, ...protocols]);
    socket.binaryType = "arraybuffer";
    const inbox = (this.#inbox = new Inbox(this.#signal));
    socket.onopen = () => {
      const next = this.#ledger?.next ?? new Array(this.#body.count ?? 1).fill(0);
      const wishes = { format: this.#format, ...(this.#tells ? { progress: true } : {}) };
      socket.send(JSON.stringify({ type: "resume", job: this.job, next, ...wishes }));
    };
    socket.onmessage = ({ data }) => inbox.put(data);
    socket.onclose = ({ code, reason }) => inbox.end(code, reason);
    try {
      for await (const data of inbox) {
        if (typeof data === "string") this.#control(JSON.parse(data));
        else yield this.#book(decodeFrame(data));
        if (this.done !== null) return;
      }
    } finally {
      inbox.dispose();
      socket.onmessage = socket.onclose = null;
      if (socket.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close(); // quietly
      else socket.close();
    }
  }

  async *#events() {
    if (this.#format !== "codes") throw new AncestralError(`${this.#format} needs a WebSocket`);
    const signal = this.#signal;
    const response = await this.#client.once("GET", `/jobs/${this.job}/events`, { signal });
    let type = "";
    const sums = []; // of log_prob by item; a connection's events begin with the first site
    for await (const line of linesOf(response.body)) {
      if (line.startsWith("event: ")) type = line.slice(7);
      if (!line.startsWith("data: ")) continue;
      const data = JSON.parse(line.slice(6));
      if (type === "output") {
        const frame = frameOfEvent(data, this.started.dtype);
        sums[data.item] = (sums[data.item] ?? 0) + data.log_prob;
        this.progress[data.item] = { sites: data.first_site + data.count, log_prob: sums[data.item] };
        const news = after(frame, this.#ledger.next[frame.item]);
        if (news !== null) yield this.#book(news);
      } else if (type === "failed") {
        throw new ProblemError(data);
      } else {
        this.#control({ ...data, type });
      }
      if (this.done !== null) return;
    }
  }

  #book(frame) {
    if (this.#ledger === null) throw new FrameError("values before `started`");
    this.#ledger.book(frame);
    return frame;
  }

  #control(message) {
    switch (message.type) {
      case "started":
        if (this.started === null) {
          this.started = message;
          this.#ledger = new Ledger(message);
        } else if (message.fingerprint !== this.started.fingerprint) {
          throw new FrameError("the server goes on with other weights or software");
        }
        break;
      case "progress": // an event of that name has other fields
        if (this.#tells && "item" in message) {
          this.progress[message.item] = { sites: message.sites, log_prob: message.log_prob };
        }
        break;
      case "done":
        if (!this.#ledger?.complete) throw new FrameError("`done` before the last site");
        this.done = message;
        break;
      case "canceled":
        throw new JobCanceled(`job ${this.job} was canceled`);
      case "error":
        // 404: the server lost the job since it was made
        if (message.error.status === 404) throw new ConnectionLost(message.error.detail);
        throw new ProblemError(message.error);
    }
  }
}

/** A promise's value; throws the signal's reason where that comes first. */
function unlessAborted(promise, signal) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

/** Messages of a socket as an async iterable; it throws where the socket closes. */
class Inbox {
  #messages = [];
  #wake = () => {};
  #error = null;
  #signal;
  #stop = () => this.fail(this.#signal.reason);

  constructor(signal) {
    this.#signal = signal;
    signal?.addEventListener("abort", this.#stop);
  }

  put(message) {
    this.#messages.push(message);
    this.#wake();
  }

  end(code, reason) {
    const Kind = REFUSALS.includes(code) ? AncestralError : ConnectionLost;
    this.#error ??= new Kind(reason || `the socket closed (${code})`);
    this.#wake();
  }

  dispose() {
    this.#signal?.removeEventListener("abort", this.#stop);
  }

  /** No message is given after this, not even one that has come. */
  fail(error) {
    this.#messages = [];
    this.#error ??= error;
    this.#wake();
  }

  async *[Symbol.asyncIterator]() {
    for (;;) {
      this.#signal?.throwIfAborted();
      if (this.#messages.length > 0) {
        yield this.#messages.shift();
        continue;
      }
      if (this.#error !== null) throw this.#error;
      await new Promise((resolve) => (this.#wake = resolve));
    }
  }
}
