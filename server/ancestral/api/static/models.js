/** The rail of models: cards to choose from, and what is known of the chosen one. */

import { $, extent, levels, make } from "./dom.js";
import { clearProblem, fetchJson, showingProblems } from "./problem.js";

const POLL_MS = 2000; // while a model loads

/** Shows the models of the server; `onChoose(model)` is called for each choice. */
export class Rail {
  #models = [];
  #chosen = null;
  #onChoose;

  constructor(onChoose) {
    this.#onChoose = onChoose;
    $("models").addEventListener("change", (event) => this.#choose(event.target.value));
    window.addEventListener("hashchange", () => this.#choose(this.#wanted()));
  }

  async refresh() {
    const answer = await showingProblems(() => fetchJson("models"));
    if (answer === undefined) return;
    this.#models = answer.models;
    this.#draw();
    const before = this.#models.find((model) => model.name === this.#chosen);
    if (before === undefined) this.#choose(this.#wanted());
    else this.#onChoose(before, false);
    if (this.#models.some((model) => model.state === "loading")) {
      setTimeout(() => this.refresh(), POLL_MS);
    }
  }

  /** The name after # in the address, else the first model that is ready. */
  #wanted() {
    const name = decodeURIComponent(location.hash.slice(1));
    if (this.#models.some((model) => model.name === name)) return name;
    return (this.#models.find((model) => model.state === "ready") ?? this.#models[0])?.name;
  }

  #choose(name) {
    const model = this.#models.find((each) => each.name === name);
    if (model === undefined || name === this.#chosen) return;
    this.#chosen = name;
    history.replaceState(null, "", `#${encodeURIComponent(name)}`);
    const input = $("models").querySelector(`input[value="${CSS.escape(name)}"]`);
    input.checked = true;
    input.parentElement.scrollIntoView({ block: "nearest", inline: "nearest" });
    clearProblem();
    this.#onChoose(model, true);
    this.#describe(model);
  }

  #draw() {
    if (this.#models.length === 0) {
      const how = "There are no model packages in this server’s store.";
      $("models").replaceChildren(make("p", { className: "quiet" }, how));
      return;
    }
    const focused = $("models").contains(document.activeElement);
    $("models").replaceChildren(...this.#models.map((model) => this.#card(model)));
    if (focused) $("models").querySelector("input:checked")?.focus();
  }

  #card(model) {
    const state = model.state === "ready" ? "" : model.state;
    return make(
      "label",
      { className: "card", "data-kind": model.kind, "data-codec": model.codec?.kind ?? "", "data-state": model.state },
      make("input", {
        type: "radio",
        name: "model",
        value: model.name,
        className: "hidden",
        checked: model.name === this.#chosen,
      }),
      make("span", { className: "mark", "aria-hidden": "true" }),
      make("span", { className: "card-name" }, model.name),
      make("span", { className: "card-facts" }, `${extent(model)} · ${levels(model)}`),
      make("span", { className: "card-state", hidden: !state }, state),
    );
  }

  async #describe(model) {
    const about = $("about");
    about.hidden = true;
    const full = await showingProblems(() => fetchJson(`models/${encodeURIComponent(model.name)}`));
    if (full === undefined || model.name !== this.#chosen) return;
    const { data, licence, metrics = {} } = full.manifest?.provenance ?? {};
    const facts = {
      Error: model.error,
      Family: model.family,
      Likelihood: model.likelihood,
      Sampler: { true: "derived step program", false: "naive: the forward pass again" }[model.derived],
      "Trained on": data,
      Licence: licence,
      Version: String(model.version),
    };
    const rows = Object.entries(facts).filter(([, value]) => value);
    for (const [name, value] of Object.entries(metrics)) rows.push([name, String(value)]);
    const load = make("button", { type: "button", className: "plain" }, "Load it");
    load.hidden = model.state !== "unloaded";
    load.addEventListener("click", () => this.#load(model));
    about.replaceChildren(
      make("dl", {}, ...rows.map(([k, v]) => make("div", {}, make("dt", {}, k), make("dd", {}, v)))),
      load,
    );
    about.hidden = false;
  }

  async #load(model) {
    const path = `models/${encodeURIComponent(model.name)}/load`;
    await showingProblems(() => fetchJson(path, { method: "POST" }));
    this.refresh();
  }
}
