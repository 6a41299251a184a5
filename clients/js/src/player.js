/** Plays a sound while it arrives, by an AudioWorklet. */

/** So much is buffered before sound begins, well within 200 ms of the first frame. */
export const LEAD_SECONDS = 0.1;

export class Player {
  #node;
  #context;

  /** Of a sound at `rate` Hz. Call it from a key or a click: browsers begin no sound without one. */
  static async open(rate, { lead = LEAD_SECONDS, context = new AudioContext() } = {}) {
    const resumed = context.resume();
    await context.audioWorklet.addModule(new URL("./worklet.js", import.meta.url));
    const options = { outputChannelCount: [1], numberOfInputs: 0, processorOptions: { rate, lead } };
    const node = new AudioWorkletNode(context, "ancestral-player", options);
    await resumed;
    return new Player(context, node);
  }

  constructor(context, node) {
    this.#context = context;
    this.#node = node;
    node.connect(context.destination);
    /** Resolves to {gaps} when all has been heard: times that the sound ran dry. */
    this.ended = new Promise((resolve) => (node.port.onmessage = ({ data }) => resolve(data)));
  }

  /** Appends samples: a Float32Array in [-1, 1], or PCM as an Int16Array. */
  push(samples) {
    const scale = samples instanceof Int16Array ? 1 / 32768 : 1;
    const sound = Float32Array.from(samples, (sample) => sample * scale);
    this.#node.port.postMessage(sound, [sound.buffer]);
  }

  /** No more will come. */
  finish() {
    this.#node.port.postMessage(null);
  }

  /** Silence, now. */
  async close() {
    this.#node.disconnect();
    await this.#context.close();
  }
}

/** Plays a stream with format "pcm16" of one item to its end; resolves to {gaps}. */
export async function play(stream, options) {
  let player = null;
  try {
    for await (const frame of stream) {
      player ??= await Player.open(stream.started.sample_rate, options);
      player.push(frame.values);
    }
    player.finish();
    return await player.ended;
  } finally {
    await player?.close();
  }
}
