/** Spectra of a sound: a radix-2 Fourier transform and the decibels of windowed frames. */

const FLOOR_DB = -80; // below full scale: the darkest shade

/**
 * In-place transform of `re`, `im` (Cooley and Tukey 1965); their length is a power of two.
 */
export function fft(re, im) {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [re[i], re[j]] = [re[j], re[i]];
      [im[i], im[j]] = [im[j], im[i]];
    }
  }
  for (let size = 2; size <= n; size *= 2) {
    const half = size / 2;
    for (let k = 0; k < half; k++) {
      const angle = (-2 * Math.PI * k) / size;
      const [c, s] = [Math.cos(angle), Math.sin(angle)];
      for (let even = k; even < n; even += size) {
        const odd = even + half;
        const [x, y] = [c * re[odd] - s * im[odd], c * im[odd] + s * re[odd]];
        [re[odd], im[odd]] = [re[even] - x, im[even] - y];
        [re[even], im[even]] = [re[even] + x, im[even] + y];
      }
    }
  }
}

/** Frames of `size` samples under a Hann window. */
export class Spectrum {
  constructor(size) {
    this.size = size;
    this.bins = size / 2;
    this.window = Float64Array.from({ length: size }, (_, i) => {
      return 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / size);
    });
    this.re = new Float64Array(size);
    this.im = new Float64Array(size);
  }

  /**
   * Shades 0..1 of the bins (lowest frequency first) of the frame around sample `centre`: decibels
   * below a full-scale sine, from -80 to 0. Samples beyond the sound count as silence.
   */
  shades(samples, centre) {
    const first = Math.round(centre) - this.size / 2;
    for (let i = 0; i < this.size; i++) {
      this.re[i] = (samples[first + i] ?? 0) * this.window[i];
      this.im[i] = 0;
    }
    fft(this.re, this.im);
    const full = this.size / 4; // magnitude of a sine of amplitude 1 under the window
    return Float32Array.from({ length: this.bins }, (_, bin) => {
      const power = (this.re[bin] ** 2 + this.im[bin] ** 2) / full ** 2;
      const decibels = 10 * Math.log10(Math.max(power, 1e-12));
      return Math.min(1, Math.max(0, 1 - decibels / FLOOR_DB));
    });
  }
}
