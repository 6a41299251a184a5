/** A signal along one axis: its waveform and spectrogram, drawn as far as it has come. */

import { css, heat } from "./colour.js";
import { Spectrum } from "./spectrum.js";

const FRAME = 256; // samples of a spectrum: 32 ms at 8 kHz

/** Sets a canvas to its size on the screen; true if that changed (and so cleared it). */
export function sized(canvas) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  const height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  if (canvas.width === width && canvas.height === height) return false;
  canvas.width = width;
  canvas.height = height;
  return true;
}

/** Lowest and highest sample of column x of `width`; one sample at least. */
export function envelope(samples, x, width, total) {
  const from = Math.floor((x * total) / width);
  const to = Math.max(from + 1, Math.floor(((x + 1) * total) / width));
  let [low, high] = [Infinity, -Infinity];
  for (let i = from; i < to; i++) {
    if (samples[i] < low) low = samples[i];
    if (samples[i] > high) high = samples[i];
  }
  return [low, high];
}

/** Draws a growing signal on a canvas of waveforms and, for sounds, one of spectra. */
export class Trace {
  #waves;
  #spectra;
  #spectrum = new Spectrum(FRAME);
  #drawn = 0; // samples whose columns of the waveform are drawn
  #column = 0; // the next column of the spectrogram
  #signal = null;
  #colour;

  /** `colour(sample index)`: a css colour; the canvas's own where it is not given. */
  constructor(waves, spectra, colour = null) {
    this.#waves = waves;
    this.#spectra = spectra;
    this.#colour = colour;
    const observer = new ResizeObserver(() => this.#signal && this.draw(this.#signal));
    observer.observe(waves);
  }

  /** `signal`: {samples, have, total}, samples in [-1, 1]; only what is new is drawn, or all. */
  draw(signal, all = false) {
    if (all || this.#signal?.total !== signal.total || this.#signal.samples !== signal.samples) {
      this.#drawn = Infinity; // another signal, or one that ended early: all columns move
    }
    this.#signal = { ...signal };
    this.#drawWaves(signal);
    if (this.#spectra) this.#drawSpectra(signal);
    this.#drawn = signal.have;
  }

  #drawWaves({ samples, have, total }) {
    const canvas = this.#waves;
    const context = canvas.getContext("2d");
    const anew = sized(canvas) || this.#drawn > have;
    if (anew) context.clearRect(0, 0, canvas.width, canvas.height);
    const { width, height } = canvas;
    const own = getComputedStyle(canvas).color;
    const first = anew ? 0 : Math.floor((this.#drawn * width) / total);
    const end = Math.min(width, Math.floor((have * width) / total));
    if (anew) this.#column = 0;
    for (let x = first; x < end; x++) {
      const [low, high] = envelope(samples, x, width, total);
      const top = ((1 - high) / 2) * height;
      const tall = Math.max(height / 64, ((high - low) / 2) * height);
      context.fillStyle = this.#colour?.(Math.floor(((x + 0.5) * total) / width)) ?? own;
      context.clearRect(x, 0, 1, height);
      context.fillRect(x, top, 1, tall);
    }
  }

  #drawSpectra({ samples, have, total }) {
    const canvas = this.#spectra;
    const context = canvas.getContext("2d");
    if (sized(canvas) || this.#column === 0) {
      context.clearRect(0, 0, canvas.width, canvas.height);
      this.#column = 0;
    }
    const { width, height } = canvas;
    for (; this.#column < width; this.#column++) {
      const centre = ((this.#column + 0.5) * total) / width;
      if (have < total && centre + FRAME / 2 > have) break;
      const shades = this.#spectrum.shades(samples, centre);
      const bar = height / shades.length;
      shades.forEach((shade, bin) => {
        context.fillStyle = css(heat(shade));
        context.fillRect(this.#column, height - (bin + 1) * bar, 1, bar + 1);
      });
    }
  }
}

/** Values of a model's signal as numbers in [-1, 1]; `table` for codes that are amplitudes. */
export function scaled(values, levels, table) {
  if (table) return Float32Array.from(values, (code) => table[code]);
  if (levels === null) return Float32Array.from(values, (x) => Math.tanh(x / 2));
  return Float32Array.from(values, (code) => (2 * code) / (levels - 1) - 1);
}
