/** Live samples on the cards of models: one at a time, gently, and kept for the next visit. */

import { $, make } from "./dom.js";
import { hum } from "./hum.js";
import { client } from "./server.js";
import { Thumb, littleOf } from "./thumbs.js";

const LEAST_PRIORITY = 3;
const REST_MS = 400; // between two samples
const LONGEST_MS = 20_000; // for one; a model that takes longer keeps what it has painted
const MOST_KEPT = 20_000; // values
const SEED = 7; // of the first sample of every model

const keptName = ({ name, version }) => `ancestral.card.${name}/${version}`;

/** Draws on its own only where that costs nobody anything: not under Save-Data, not while hidden. */
const mayDraw = () => !navigator.connection?.saveData && document.visibilityState === "visible";

export class Gallery {
  #cards = new Map(); // {model, canvas, words, drawn, seed} by name
  #wanted = new Set(); // names that are in view and not drawn
  #control = null; // of the sample that is being drawn
  #held = false;
  #timer = null;
  #sight = new IntersectionObserver((entries) => entries.forEach((entry) => this.#seen(entry)), {
    root: $("models"),
    rootMargin: "80px",
  });

  constructor() {
    document.addEventListener("visibilitychange", () => this.#soon());
  }

  /** Elements for a model's card: its mark, and a line for what is read. */
  elements(model) {
    const before = this.#cards.get(model.name);
    if (before) Object.assign(before, { model });
    const card = before ?? this.#card(model);
    this.#cards.set(model.name, card);
    if (!card.drawn) this.#sight.observe(card.mark);
    return [card.mark, card.words];
  }

  /** Draws a card anew, with another seed. */
  again(name) {
    const card = this.#cards.get(name);
    card.seed = Math.floor(Math.random() * 2 ** 32);
    card.drawn = false;
    this.#wanted = new Set([name, ...this.#wanted]);
    this.#soon(0, true);
  }

  /** Nothing is drawn while somebody's own job runs. */
  hold(on) {
    this.#held = on;
    if (on) this.#control?.abort();
    else this.#soon();
  }

  /** Whether a model's card can be drawn at all. */
  draws({ state, kind, conditions }) {
    const given = (each) => each.kind === "label" || (each.kind === "series" && each.frames);
    return state === "ready" && kind !== undefined && conditions.every(given);
  }

  #card(model) {
    const canvas = make("canvas", { className: "little", hidden: true });
    const mark = make("span", { className: "mark", "aria-hidden": "true" }, canvas);
    mark.dataset.model = model.name;
    const words = make("span", { className: "card-words", hidden: true, "aria-hidden": "true" });
    const card = { model, canvas, mark, words, drawn: false, seed: SEED };
    this.#restore(card);
    return card;
  }

  #seen({ target, isIntersecting }) {
    const { model, drawn } = this.#cards.get(target.dataset.model);
    if (isIntersecting && !drawn) this.#wanted.add(model.name);
    else this.#wanted.delete(model.name);
    this.#soon();
  }

  #soon(pause = REST_MS, asked = false) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#next(asked), pause);
  }

  async #next(asked) {
    if (this.#control || this.#held || !(asked || mayDraw())) return;
    const name = [...this.#wanted].find((each) => this.draws(this.#cards.get(each).model));
    if (name === undefined) return;
    this.#wanted.delete(name);
    const card = this.#cards.get(name);
    const control = new AbortController();
    this.#control = control;
    const limit = setTimeout(() => control.abort(), LONGEST_MS);
    try {
      await this.#draw(card, control.signal);
    } catch {
      // a card is not worth a word; it keeps what has been painted
      if (this.#held) this.#wanted.add(name);
    } finally {
      clearTimeout(limit);
      this.#control = null;
      this.#soon();
    }
  }

  async #draw(card, signal) {
    const { model, seed } = card;
    const sites = littleOf(model);
    const options = { seed, signal, priority: LEAST_PRIORITY, ...(sites && { sites }) };
    const given = model.conditions.map(({ name, kind, classes }) => {
      return [name, kind === "label" ? seed % classes : hum(model.sample_rate)];
    });
    if (given.length) options.condition = Object.fromEntries(given);
    const stream = client.stream(model.name, options);
    let thumb = null;
    for await (const frame of stream) {
      thumb ??= this.#thumb(card, stream.started);
      this.#put(card, thumb, frame);
    }
    card.drawn = true;
    this.#sight.unobserve(card.mark);
    this.#keep(card, stream.started, thumb);
  }

  #thumb(card, started) {
    card.canvas.hidden = false;
    card.mark.dataset.live = "true";
    return new Thumb(card.canvas, card.model, started);
  }

  #put({ words }, thumb, frame) {
    thumb.put(frame);
    words.hidden = !thumb.words;
    words.textContent = thumb.words?.replace(/\s+/g, " ") ?? "";
  }

  #keep({ model }, { shape, dims_per_site, sites }, { values }) {
    if (values.length > MOST_KEPT) return;
    const rounded = Array.from(values, (value) => Number(value.toFixed(3)));
    const kept = { started: { shape, dims_per_site, sites }, values: rounded };
    try {
      localStorage.setItem(keptName(model), JSON.stringify(kept));
    } catch {
      // full, or forbidden: it is drawn again next time
    }
  }

  #restore(card) {
    try {
      const kept = JSON.parse(localStorage.getItem(keptName(card.model)));
      if (kept === null) return;
      const { started, values } = kept;
      const count = values.length / started.dims_per_site;
      this.#put(card, this.#thumb(card, started), { item: 0, firstSite: 0, count, values });
      card.drawn = true;
    } catch {
      localStorage.removeItem(keptName(card.model));
    }
  }
}
