/** What plays where there is no AudioWorklet: browsers have none on pages that came without TLS. */

import { Voice } from "./worklet.js";

const BLOCK_SECONDS = 0.05;
const AHEAD_SECONDS = 0.25; // for as long the page may be busy
const MARGIN_SECONDS = 0.02; // until a block that follows none is heard
const DUE_SECONDS = 0.1; // before it is heard, a block is handed over with what there is

/** As an AudioWorkletNode of "ancestral-player": blocks of sound, each to begin where the last one ends. */
export class Pump {
  port = { onmessage: null, postMessage: (message) => this.#obey(message) };
  #context;
  #voice;
  #timer = null;
  #blocks = new Set(); // that are or will be heard
  #next = 0; // when another one begins

  constructor(context, options) {
    this.#context = context;
    this.#voice = new Voice(options, context.sampleRate);
  }

  connect(destination) {
    this.#timer = setInterval(() => this.#fill(destination), 1000 * BLOCK_SECONDS);
  }

  disconnect() {
    clearInterval(this.#timer);
    for (const block of this.#blocks) block.stop();
  }

  #obey(message) {
    this.#voice.obey(message, this.#context.currentTime);
  }

  #fill(destination) {
    const { currentTime: now, sampleRate } = this.#context;
    const frames = Math.round(BLOCK_SECONDS * sampleRate);
    this.#next = Math.max(this.#next, now + MARGIN_SECONDS);
    const { queue } = this.#voice;
    while (this.#next < now + AHEAD_SECONDS && queue.state !== "ended") {
      if (!queue.covers(frames) && this.#next > now + DUE_SECONDS) return; // more may come in time
      const buffer = this.#context.createBuffer(1, frames, sampleRate);
      const before = queue.state;
      const news = this.#voice.render(buffer.getChannelData(0), this.#next);
      if (before === "waiting" && queue.state === "waiting") {
        this.#tell(news, now);
        return; // for more to come
      }
      this.#play(buffer, destination);
      this.#next += frames / sampleRate;
      this.#tell(news, news?.state === "ended" ? this.#next : this.#next - frames / sampleRate);
    }
  }

  #play(buffer, destination) {
    const block = this.#context.createBufferSource();
    block.buffer = buffer;
    block.connect(destination);
    block.onended = () => this.#blocks.delete(block);
    this.#blocks.add(block);
    block.start(this.#next);
  }

  /** Tells of a block when it is heard. */
  #tell(data, at) {
    if (data === null) return;
    const wait = 1000 * Math.max(0, at - this.#context.currentTime);
    setTimeout(() => this.#voice.stopped || this.port.onmessage?.({ data }), wait);
  }
}
