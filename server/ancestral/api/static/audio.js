/** Sound as it arrives: when to begin, so that it need not stop, and the Web Audio behind it. */

const LEAD_SECONDS = 0.25; // at least so much is buffered before sound begins
const SAFETY = 1.15; // the rest is taken to need this much longer than measured
const PIECE_SECONDS = 0.1; // sound is handed over in pieces no shorter
const AHEAD_SECONDS = 0.06; // between handing over and sounding
const SLOWEST_HZ = 8000; // that every browser plays

/** How often each sample is held, so that a browser plays sounds of very low rates too. */
export function holds(rate) {
  return Math.ceil(SLOWEST_HZ / rate);
}

/**
 * Whether to sound what is there, of a sound that is still being made.
 *
 * `have` of `total` samples are there, `played` of them were handed over, `speed` more arrive per
 * second, `rate` are heard per second. It may begin when the rest arrives before it is needed: a
 * model slower than real time is heard as late as it must be, and without gaps.
 */
export function mayBegin({ have, total, played, speed, rate }) {
  if (have >= total) return true;
  if (have - played < LEAD_SECONDS * rate || speed <= 0) return false;
  return (SAFETY * (total - have)) / speed <= (total - played) / rate;
}

/** Seconds until `mayBegin` at the present speed; 0 where it may. */
export function secondsToBegin({ have, total, played, speed, rate }) {
  if (mayBegin({ have, total, played, speed, rate })) return 0;
  if (speed <= 0) return Infinity;
  const byLead = played + LEAD_SECONDS * rate - have;
  const byRest = total - have - ((total - played) * speed) / (SAFETY * rate);
  return Math.max(0, Math.min(total - have, Math.max(byLead, byRest))) / speed;
}

/** A sound that grows: samples in [-1, 1] at `rate` per second, `total` in the end. */
export class Sound {
  constructor(total, rate) {
    this.samples = new Float32Array(total);
    this.total = total;
    this.rate = rate;
    this.have = 0;
    this.speed = 0; // samples that arrive per second
    this.#began = null;
  }

  #began;

  /** Appends samples; `now` in seconds. */
  append(samples, now) {
    this.samples.set(samples, this.have);
    this.have += samples.length;
    this.#began ??= { now, have: this.have };
    if (now > this.#began.now) this.speed = (this.have - this.#began.have) / (now - this.#began.now);
  }

  /** No more will come. */
  finish() {
    this.total = this.have;
    this.samples = this.samples.subarray(0, this.have);
  }
}

/** Plays one sound at a time through the browser; `tick` is called for every picture drawn. */
export class Speaker {
  #context = null;
  #hold = 1;
  #sound = null;
  #handed = 0; // samples handed over
  #until = 0; // time at which they will have been heard
  #pieces = [];

  /** To be called from a key or a click: browsers begin no sound without one. */
  wake(rate) {
    this.#hold = holds(rate);
    const sampleRate = rate * this.#hold;
    if (this.#context?.sampleRate !== sampleRate) {
      this.#context?.close();
      this.#context = new AudioContext({ sampleRate }); // pieces join without resampling
    }
    this.#context.resume();
  }

  get sound() {
    return this.#sound;
  }

  /** Begins, or begins again, as soon as the sound may. */
  play(sound) {
    this.stop();
    this.#sound = sound;
    this.#handed = 0;
    this.#until = 0;
  }

  stop() {
    this.#sound = null;
    for (const { source } of this.#pieces) source.stop();
    this.#pieces = [];
  }

  /**
   * Hands over what it can. Returns {state, sample, wait}: state is idle, waiting (for `wait`
   * seconds, as far as one can tell), playing or ended; `sample` is heard now.
   */
  tick() {
    const sound = this.#sound;
    if (sound === null) return { state: "idle", sample: 0, wait: 0 };
    const now = this.#context.currentTime;
    const dry = now >= this.#until;
    const plan = { ...sound, played: this.#handed };
    if (dry && this.#handed >= sound.total) {
      this.stop();
      return { state: "ended", sample: sound.total, wait: 0 };
    }
    if (dry && !mayBegin(plan)) {
      return { state: "waiting", sample: this.#handed, wait: secondsToBegin(plan) };
    }
    const ready = sound.have - this.#handed;
    if (ready > 0 && (sound.have >= sound.total || ready >= PIECE_SECONDS * sound.rate)) {
      this.#hand(sound, dry ? now + AHEAD_SECONDS : this.#until);
    }
    return { state: "playing", sample: this.#heard(now), wait: 0 };
  }

  #hand(sound, when) {
    const { sampleRate, destination } = this.#context;
    const [first, hold] = [this.#handed, this.#hold];
    const length = (sound.have - first) * hold;
    const piece = Float32Array.from({ length }, (_, i) => {
      return sound.samples[first + Math.floor(i / hold)];
    });
    const buffer = this.#context.createBuffer(1, length, sampleRate);
    buffer.copyToChannel(piece, 0);
    const source = this.#context.createBufferSource();
    source.buffer = buffer;
    source.connect(destination);
    const frame = Math.ceil(when * sampleRate - 1e-6); // whole frames: no interpolation at joints
    source.start(frame / sampleRate);
    this.#pieces.push({ source, first, frame, length });
    this.#handed = sound.have;
    this.#until = (frame + length) / sampleRate;
  }

  #heard(now) {
    const frame = now * this.#context.sampleRate;
    const piece = this.#pieces.findLast((each) => each.frame <= frame);
    if (piece === undefined) return this.#pieces[0]?.first ?? 0;
    return piece.first + Math.min(piece.length, Math.floor(frame - piece.frame)) / this.#hold;
  }
}
