/** The rail of models: cards to choose from, and what is known of the chosen one. */

import { readAddress } from "./address.js";
import { $, extent, levels, make } from "./dom.js";
import { clearProblem, showProblem, showingProblems } from "./problem.js";
import { client } from "./server.js";

const POLL_MS = 2000; // while a model loads
const GROUPS = {
  image: "Images",
  audio: "Sound",
  midi: "Music",
  text: "Text",
  sequence: "Sequences",
  vector: "Tables",
};
const WIDE = window.matchMedia("(min-width: 1181px)");
const FEW = 8; // models that are found without a search

function groupOf({ kind, codec }) {
  return codec?.kind in GROUPS ? codec.kind : kind;
}

/**
 * Shows the models of the server. `onChoose(model, anew, options, given)` is called for each choice;
 * options are those of the address, null where it has none, and so with what was given (`address.js`).
 */
export class Rail {
  #models = [];
  #chosen = null;
  #gallery;
  #onChoose;

  constructor(gallery, onChoose) {
    this.#gallery = gallery;
    this.#onChoose = onChoose;
    $("models").addEventListener("change", (event) => this.#choose(event.target.value));
    $("find").addEventListener("input", () => this.#filter());
    window.addEventListener("hashchange", () => this.#goTo());
  }

  /** Whether the chosen model is not ready yet, as far as is known. */
  get stale() {
    return this.#models.some(({ name, state }) => name === this.#chosen && state !== "ready");
  }

  async refresh() {
    const models = await showingProblems(() => client.models());
    if (models === undefined) return;
    this.#models = models;
    this.#draw();
    const before = this.#models.find((model) => model.name === this.#chosen);
    if (before === undefined) this.#goTo();
    else this.#onChoose(before, false, null);
    if (this.#models.some((model) => model.state === "loading")) {
      setTimeout(() => this.refresh(), POLL_MS);
    }
  }

  /** The chosen model's name, else that of the first one that is ready. */
  get #usual() {
    return this.#chosen ?? (this.#models.find((model) => model.state === "ready") ?? this.#models[0])?.name;
  }

  /** Goes where the address says. */
  async #goTo() {
    const { hash } = location;
    const { name, options, given } = await readAddress(hash);
    if (hash !== location.hash) return; // it has changed meanwhile
    if (this.#models.some((model) => model.name === name)) {
      this.#choose(name, options, given);
      return;
    }
    this.#choose(this.#usual);
    if (options === null) return; // the place of a panel, perhaps
    const detail = `The link is to a sample of ${name}, which this server does not have.`;
    showProblem({ title: "No such model", detail });
  }

  #choose(name, options = null, given = {}) {
    const model = this.#models.find((each) => each.name === name);
    if (model === undefined || (name === this.#chosen && options === null)) return;
    this.#chosen = name;
    if (options === null) history.replaceState(null, "", `#${encodeURIComponent(name)}`);
    const input = $("models").querySelector(`input[value="${CSS.escape(name)}"]`);
    input.checked = true;
    input.parentElement.scrollIntoView({ block: "nearest", inline: "nearest" });
    clearProblem();
    this.#onChoose(model, true, options, given);
    this.#describe(model);
  }

  #draw() {
    if (this.#models.length === 0) {
      const how = "There are no model packages in this server’s store.";
      $("models").replaceChildren(make("p", { className: "quiet" }, how));
      return;
    }
    const focused = $("models").contains(document.activeElement);
    const groups = Object.entries(GROUPS).map(([group, title]) => {
      const found = this.#models.filter((model) => groupOf(model) === group);
      found.sort((a, b) => a.title.localeCompare(b.title, "en"));
      return found.length ? [this.#group(title, found)] : [];
    });
    $("models").replaceChildren(...groups.flat());
    $("find").hidden = this.#models.length <= FEW;
    this.#filter();
    if (focused) $("models").querySelector("input:checked")?.focus();
  }

  #group(title, models) {
    const count = make("span", { className: "count" }, ` ${models.length}`);
    const head = make("h3", { className: "group-title" }, title, count);
    const cards = make("div", { className: "group-cards" }, ...models.map((model) => this.#card(model)));
    return make("div", { className: "group" }, head, cards);
  }

  /** Hides cards that hold not every word that is looked for. */
  #filter() {
    const words = $("find").value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const card of $("models").querySelectorAll(".card")) {
      const { value } = card.querySelector("input");
      const { name, title, family, kind, summary } = this.#models.find((each) => each.name === value);
      const text = [name, title, family, kind, summary].join(" ").toLowerCase();
      card.hidden = !words.every((word) => text.includes(word));
    }
    let any = false;
    for (const group of $("models").querySelectorAll(".group")) {
      group.hidden = group.querySelector(".card:not([hidden])") === null;
      any ||= !group.hidden;
    }
    $("none-found").hidden = any;
  }

  #card(model) {
    const state = model.state === "ready" ? "" : model.state.replace("_", " ");
    const [mark, words] = this.#gallery.elements(model);
    return make(
      "label",
      { className: "card", "data-kind": model.kind, "data-codec": model.codec?.kind ?? "", "data-state": model.state },
      make("input", {
        type: "radio",
        name: "model",
        value: model.name,
        className: "hidden",
        checked: model.name === this.#chosen,
        title: model.name,
      }),
      mark,
      make("span", { className: "card-name" }, model.title),
      make("span", { className: "card-facts" }, `${extent(model)} · ${levels(model)}`),
      words,
      make("span", { className: "card-state", hidden: !state }, state),
    );
  }

  async #describe(model) {
    const about = $("about");
    about.hidden = true;
    const full = await showingProblems(() => client.model(model.name));
    if (full === undefined || model.name !== this.#chosen) return;
    const { data, licence, metrics = {} } = full.manifest?.provenance ?? {};
    const told = {
      Error: model.error,
      Name: model.name,
      Family: model.family,
      Likelihood: model.likelihood,
      Sampler: { true: "derived step program", false: "naive: the forward pass again" }[model.derived],
      "Trained on": data,
      Licence: licence,
      Version: String(model.version),
    };
    const rows = Object.entries(told).filter(([, value]) => value);
    for (const [name, value] of Object.entries(metrics)) rows.push([name, String(value)]);
    const facts = make("dl", {}, ...rows.map(([k, v]) => make("div", {}, make("dt", {}, k), make("dd", {}, v))));
    const load = make("button", { type: "button", className: "plain" }, "Load it");
    load.hidden = model.state !== "unloaded" || !model.loadable;
    load.addEventListener("click", () => this.#load(model));
    const again = make("button", { type: "button", className: "plain" }, "Paint its card again");
    again.hidden = !this.#gallery.draws(model);
    again.addEventListener("click", () => this.#gallery.again(model.name));
    about.replaceChildren(
      make("p", { className: "summary", hidden: !model.summary }, model.summary),
      make("details", { open: WIDE.matches }, make("summary", {}, "About it"), facts),
      make("p", { className: "about-row" }, load, again),
    );
    about.hidden = false;
  }

  async #load(model) {
    await showingProblems(() => client.load(model.name));
    this.refresh();
  }
}
