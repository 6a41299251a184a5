/** Plays sounds while they arrive, by an AudioWorklet; by timed blocks where the page has none. */

import { Pump } from "./pump.js";

/** So much is buffered before sound begins, well within 200 ms of the first frame. */
export const LEAD_SECONDS = 0.1;
const SLOWEST_HZ = 8000; // that every browser plays

/** How often each sample of a sound is played, so that browsers play very low rates too. */
export function holds(rate) {
  return Math.ceil(SLOWEST_HZ / rate);
}

/** An audio output for sounds of one rate. */
export class Player {
  /** At `rate` Hz. Call it from a key or a click: browsers begin no sound without one. */
  static async open(rate, { context = new AudioContext({ sampleRate: rate * holds(rate) }) } = {}) {
    const resumed = context.resume();
    await context.audioWorklet?.addModule(new URL("./worklet.js", import.meta.url));
    await resumed;
    return new Player(context, rate);
  }

  constructor(context, rate) {
    this.context = context;
    this.rate = rate;
  }

  /** A sound to be pushed; `total`: its samples, where they are known. */
  sound({ total = null, lead = LEAD_SECONDS } = {}) {
    return new Sound(this.context, { rate: this.rate, total, lead });
  }

  /** Silence, now. */
  async close() {
    await this.context.close();
  }
}

/**
 * One sound that plays as it arrives: `state` is waiting (for `wait` seconds, as far as one can
 * tell), playing or ended; sample `at` is heard now; `gaps` counts the times that it ran dry.
 *
 * It begins after LEAD_SECONDS of sound, and later where it would run dry before its `total`.
 */
export class Sound {
  state = "waiting";
  at = 0;
  wait = Infinity;
  gaps = 0;
  #node;

  constructor(context, { rate, total, lead }) {
    const processorOptions = { rate, total, lead };
    const options = { outputChannelCount: [1], numberOfInputs: 0, processorOptions };
    this.#node = context.audioWorklet
      ? new AudioWorkletNode(context, "ancestral-player", options)
      : new Pump(context, processorOptions);
    this.#node.connect(context.destination);
    let begin, end;
    /** Resolves when it is heard first. */
    this.begun = new Promise((resolve) => (begin = resolve));
    /** Resolves to {gaps} when all has been heard. */
    this.ended = new Promise((resolve) => (end = resolve));
    this.#node.port.onmessage = ({ data }) => {
      Object.assign(this, data);
      if (this.state !== "waiting") begin();
      if (this.state !== "ended") return;
      this.#node.disconnect();
      end({ gaps: this.gaps });
    };
  }

  /** Appends samples: a Float32Array in [-1, 1], or PCM as an Int16Array. */
  push(samples) {
    const scale = samples instanceof Int16Array ? 1 / 32768 : 1;
    const sound = Float32Array.from(samples, (sample) => sample * scale);
    this.#node.port.postMessage(sound, [sound.buffer]);
  }

  /** No more will come. */
  finish() {
    this.#node.port.postMessage("finish");
  }

  /** Silence until `resume`; what arrives is kept. */
  pause() {
    this.#node.port.postMessage("pause");
  }

  resume() {
    this.#node.port.postMessage("go on");
  }

  /** Silence for good. */
  stop() {
    this.#node.port.postMessage("stop");
    this.#node.disconnect();
  }
}

/**
 * Plays a stream with format "pcm16" of one item to its end; resolves to {gaps}.
 *
 * With its `rate` given (a model's sample_rate), the output is open before the first frame comes.
 */
export async function play(stream, { rate = null, player = null, ...options } = {}) {
  let opening = player ?? (rate && Player.open(rate));
  let sound = null;
  try {
    for await (const frame of stream) {
      opening ??= Player.open(stream.started.sample_rate);
      sound ??= (await opening).sound({ total: stream.started.sites, ...options });
      sound.push(frame.values);
    }
    sound.finish();
    return await sound.ended;
  } finally {
    sound?.stop();
    if (player === null) await (await opening)?.close();
  }
}
