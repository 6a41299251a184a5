/** One job of the panel that samples: what was asked, what has arrived, how fast. */

const WINDOW_SECONDS = 1.5; // over which the speed is measured

/** `started` and its view are there once sites arrive. */
export class Run {
  stream = null;
  started = null;
  view = null;
  ended = false;
  replaying = false; // a sound was chosen by hand: no other follows it
  arrived = 0;
  #begun = 0;
  #marks = [];
  #control = new AbortController();

  constructor(model, request) {
    this.model = model;
    this.request = request;
  }

  /** The signal that ends its stream. */
  get signal() {
    return this.#control.signal;
  }

  get paused() {
    return !this.ended && (this.stream?.paused ?? false);
  }

  /** Stops the drawing, or goes on. */
  pause(on) {
    this.#marks = [];
    if (on) this.stream.pause();
    else this.stream.resume();
  }

  /** Gives the job's slots back. */
  cancel() {
    this.#control.abort();
  }

  start(started, view) {
    this.started = started;
    this.view = view;
    this.#begun = performance.now();
  }

  put(frame) {
    const now = performance.now() / 1000;
    this.view.put(frame);
    this.arrived += frame.count;
    this.#marks.push({ sites: frame.count, now });
    while (now - this.#marks[0].now > WINDOW_SECONDS) this.#marks.shift();
  }

  /** Bits per dimension of what has been told of; NaN before. */
  get bits() {
    const told = this.stream.progress.filter(Boolean);
    const sites = told.reduce((sum, item) => sum + item.sites, 0);
    const nats = told.reduce((sum, item) => sum + item.log_prob, 0);
    return -nats / Math.LN2 / (sites * this.started.dims_per_site);
  }

  /** Sites in all. */
  get total() {
    return this.started.count * this.started.sites;
  }

  /** Seconds since `started`. */
  get seconds() {
    return (performance.now() - this.#begun) / 1000;
  }

  /** Sites per second over the last moments. */
  get speed() {
    const [first, ...later] = this.#marks;
    if (later.length === 0) return NaN;
    const sites = later.reduce((sum, mark) => sum + mark.sites, 0);
    return sites / Math.max(1e-3, later.at(-1).now - first.now);
  }
}
