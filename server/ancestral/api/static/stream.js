/** One sampling job over a WebSocket: `generate`, its frames as they come, `cancel`. */

import { FrameError, Ledger, SUBPROTOCOL, decodeFrame } from "./protocol.js";

const REASONS = {
  1001: "The server is going away.",
  1003: "The server did not take the message's type.",
  1006: "The connection broke, or was never made.",
  1008: "The server refused: its policy or a missing key.",
  1009: "The message was too big for the server.",
  1011: "The server met a fault.",
  1012: "The server restarts.",
  1013: "The server is busy; try again later.",
};

function connect(url) {
  const socket = new WebSocket(url, SUBPROTOCOL);
  socket.binaryType = "arraybuffer";
  return socket;
}

/** The address of /stream beside the page. */
export function streamUrl(location) {
  const url = new URL("stream", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/**
 * Runs one job. `on` has queued(message), started(message), values(frame), and one of the ends
 * done(message), canceled(), failed(problem), which comes exactly once.
 */
export class Job {
  #on;
  #socket;
  #ledger = null;
  #job = null;
  #cancelled = false;
  #ended = false;

  /** `request`: the fields of `generate`. `open(url)` makes the socket. */
  constructor(url, request, on, open = connect) {
    this.#on = on;
    this.#socket = open(url);
    this.#socket.onopen = () => this.#send({ type: "generate", ref: "page", ...request });
    this.#socket.onmessage = (event) => this.#receive(event.data);
    this.#socket.onclose = (event) => this.#closed(event);
  }

  /** Gives the job's slots back; ends in `canceled`. */
  cancel() {
    if (this.#ended || this.#cancelled) return;
    this.#cancelled = true;
    if (this.#job === null) this.#end("canceled");
    else this.#send({ type: "cancel", job: this.#job });
  }

  #send(message) {
    this.#socket.send(JSON.stringify(message));
  }

  #receive(data) {
    if (this.#ended) return;
    try {
      if (typeof data === "string") this.#control(JSON.parse(data));
      else this.#frame(decodeFrame(data));
    } catch (error) {
      if (!(error instanceof FrameError || error instanceof SyntaxError)) throw error;
      this.#end("failed", { title: "The stream is broken", detail: error.message });
    }
  }

  #frame(frame) {
    if (this.#ledger === null) throw new FrameError("values before `started`");
    this.#ledger.book(frame);
    this.#on.values(frame);
  }

  #control(message) {
    switch (message.type) {
      case "queued":
        this.#job = message.job;
        this.#on.queued(message);
        break;
      case "started":
        this.#job = message.job;
        this.#ledger = new Ledger(message);
        this.#on.started(message);
        break;
      case "done":
        if (!this.#ledger?.complete) throw new FrameError("`done` before the last site");
        this.#end("done", message);
        break;
      case "canceled":
        this.#end("canceled");
        break;
      case "error":
        this.#end("failed", message.error);
        break;
    }
  }

  #closed(event) {
    if (this.#ended) return;
    if (this.#cancelled) return this.#end("canceled");
    const detail = event.reason || REASONS[event.code] || `The socket closed (${event.code}).`;
    this.#end("failed", { title: "The stream ended early", detail });
  }

  #end(how, ...details) {
    this.#ended = true;
    this.#socket.close(1000);
    this.#on[how](...details);
  }
}
