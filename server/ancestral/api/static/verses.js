/** Texts of one job, growing character by character; other sequences as their numbers. */

import { make } from "./dom.js";
import { Strip, save } from "./strip.js";

/** What each code reads as: a character of the codec's alphabet, else its number. */
export function glyphs({ codec, levels }) {
  if (codec?.kind === "text") return Array.from(codec.alphabet);
  return Array.from({ length: levels ?? 0 }, (_, code) => `${code} `);
}

export class Verses {
  constructor(model, started, on, { prefix }) {
    this.glyphs = glyphs(model);
    this.given = prefix?.length ?? 0;
    this.verses = Array.from({ length: started.count }, (_, item) => this.#verse(model, item, on));
    this.element = make("div", { className: "verses" }, ...this.verses.map(({ row }) => row));
    this.element.dataset.many = String(started.count > 1);
  }

  #verse(model, item, on) {
    const codes = [];
    const before = make("span", { className: "given" });
    const words = make("span");
    const page = make("div", { className: "verse", tabIndex: 0, role: "region" }, before, words);
    page.setAttribute("aria-label", `Sample ${item + 1}`);
    page.dataset.growing = "true";
    const blob = () => new Blob([codes.map((code) => this.glyphs[code]).join("")], { type: "text/plain" });
    const strip = new Strip(item, {
      score: ["Score", "Score sample", () => on.onPick({ item, codes })],
      go: ["Continue", "Continue sample", () => on.onContinue({ item, codes })],
      save: ["TXT", "Save as text sample", () => save(blob(), `${model.name}-${item + 1}.txt`)],
    });
    const row = make("div", { className: "lane" }, page, strip.element);
    return { row, page, before, words, strip, codes, fresh: [] };
  }

  put({ item, values }) {
    const verse = this.verses[item];
    verse.codes.push(...values);
    verse.fresh.push(...values);
  }

  show() {
    for (const verse of this.verses.filter(({ fresh }) => fresh.length > 0)) {
      const { page, before, words, codes, fresh } = verse;
      const following = page.scrollTop + page.clientHeight > page.scrollHeight - 30;
      const known = Math.max(0, this.given - (codes.length - fresh.length));
      const read = fresh.map((code) => this.glyphs[code]);
      before.append(read.slice(0, known).join(""));
      words.append(read.slice(known).join(""));
      if (following) page.scrollTop = page.scrollHeight;
      verse.fresh = [];
    }
  }

  finish(scores) {
    this.show();
    this.verses.forEach(({ page, strip, codes }, item) => {
      page.dataset.growing = "false";
      if (codes.length === 0) return;
      strip.offer("save", "go");
      if (scores === null) return;
      strip.offer("score");
      strip.caption.textContent = `${scores[item].bits_per_dim.toFixed(3)} bits/dim`;
    });
  }

  sounds() {
    return [];
  }
}
