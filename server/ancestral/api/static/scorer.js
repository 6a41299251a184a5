/** The panel that scores: files dropped or chosen, samples picked from the stage. */

import { ProblemError } from "./client/index.js";
import { $, extent, figure, levels, make } from "./dom.js";
import { figuresOf } from "./figures.js";
import { histogram, inUnit } from "./histogram.js";
import { nameOf } from "./labels.js";
import { goesOn } from "./lanes.js";
import { clearProblem, showError, showProblem } from "./problem.js";
import { Ranking } from "./ranking.js";
import { UnreadableFile, accepted, asInput, scoreOptions, verdict } from "./score.js";
import { client } from "./server.js";

const WHAT = {
  image: "an image",
  audio: "a sound",
  text: "a .txt",
  midi: "a .mid",
  vector: "an .npy",
  sequence: "an .npy",
};
const TOGETHER = 8; // files in one request
/** Scores with the model that is chosen; `onGoOn(codes, what)`: samples are to go on from these. */
export class Scorer {
  #model = null;
  #asked = 0; // answers to earlier questions are not shown
  #last = null; // the item that is shown: {codes, what}
  #references = new Map(); // scores of held-out items by model
  #ranking = new Ranking((file) => this.scoreFile(file));

  constructor(onGoOn) {
    $("go-on").addEventListener("click", () => onGoOn(this.#last.codes, this.#last.what));
    $("begin-file").addEventListener("change", () => this.#begin([...$("begin-file").files], onGoOn));
    $("score-words").addEventListener("click", () => this.scoreText($("words").value));
    $("words").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.scoreText($("words").value);
    });
    $("file").addEventListener("change", () => {
      const files = [...$("file").files];
      $("file").value = "";
      this.scoreFiles(files);
    });
    this.#catchDrops();
  }

  choose(model, anew) {
    this.#model = model;
    if (!anew) return;
    this.#asked++;
    $("result").hidden = true;
    this.#ranking.clear();
    $("score").setAttribute("aria-busy", "false");
    const kind = model.codec?.kind in WHAT ? model.codec.kind : model.kind;
    $("drop-what").textContent = WHAT[kind];
    $("own").hidden = kind !== "text";
    $("drop-shape").textContent = `${extent(model)}, ${levels(model)}`;
    $("file").accept = accepted(model);
    const labels = model.conditions.filter(({ kind }) => kind === "label");
    $("known").hidden = labels.length === 0;
    $("known").replaceChildren(...labels.map(knownLabel));
  }

  /** Scores one file, or several into a table. */
  async scoreFiles(files) {
    this.#ranking.clear();
    if (files.length === 1) await this.scoreFile(files[0]);
    if (files.length < 2) return;
    const [model, asked] = [this.#model, ++this.#asked];
    clearProblem();
    $("result").hidden = true;
    $("score").setAttribute("aria-busy", "true");
    for (let from = 0; from < files.length && asked === this.#asked; from += TOGETHER) {
      const rows = await this.#rows(model, files.slice(from, from + TOGETHER));
      if (asked === this.#asked) this.#ranking.add(rows);
    }
    if (asked === this.#asked) $("score").setAttribute("aria-busy", "false");
  }

  /** Rows of the table: of each file its result, or what is wrong with it. */
  async #rows(model, files) {
    const inputs = await Promise.all(
      files.map((file) => asInput(file, model).catch((error) => ({ error: error.message }))),
    );
    const read = inputs.flatMap(({ input }) => (input === undefined ? [] : [input]));
    const options = { ...this.#options(model), brief: true };
    let results = [];
    try {
      if (read.length) results = await client.logProb(model.name, read, scoreOptions(model, options));
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      const { errors = [], detail } = error.document;
      results = read.map((_, i) => ({ error: { detail: errors[i]?.message ?? detail } }));
    }
    return files.map((file, i) => {
      if (inputs[i].error) return { file, error: inputs[i].error };
      const result = results.shift();
      return result.error ? { file, error: result.error.detail } : { file, result };
    });
  }

  /** Scores a file under what the options say; whether that went well. */
  async scoreFile(file) {
    const model = this.#model;
    return this.#ask(model, file.name, async () => {
      const { input, steps } = await asInput(file, model);
      return { steps, result: await this.#score(model, input, this.#options(model, input)) };
    });
  }

  /** Has samples go on from a file: as the model reads it, which scoring tells. */
  async #begin([file], onGoOn) {
    $("begin-file").value = "";
    if (file && (await this.scoreFile(file))) onGoOn(this.#last.codes, this.#last.what);
  }

  /** Scores a text that was typed. */
  async scoreText(text) {
    const model = this.#model;
    if (text === "") return;
    await this.#ask(model, "your text", async () => {
      return { steps: [], result: await this.#score(model, text, this.#options(model)) };
    });
  }

  /** Scores a sample under the condition that it was drawn with. */
  async scoreSample({ model, codes, item, condition }) {
    const own = condition && ownCondition(condition, item);
    const what = `sample ${item + 1}`;
    await this.#ask(model, what, async () => {
      const result = await this.#score(model, codes, { condition: own ?? null });
      return { steps: [`${what}${own ? `, ${describe(model, own)}` : ""}`], result };
    });
    $("score").scrollIntoView({ block: "nearest" });
  }

  /** Of a recording, series that are measured of recordings are measured of itself. */
  #options(model, input = null) {
    const measured = model.conditions.filter(({ kind, frames }) => kind === "series" && frames && input);
    const series = measured.map(({ name }) => [name, input]);
    const condition = { ...this.#condition(model), ...Object.fromEntries(series) };
    return { fit: $("fit").checked, condition: Object.keys(condition).length ? condition : null };
  }

  #condition(model) {
    const chosen = [...$("known").querySelectorAll("select")].filter(({ value }) => value !== "");
    if (chosen.length === 0) return null;
    return Object.fromEntries(chosen.map(({ name, value }) => [name, Number(value)]));
  }

  async #score(model, input, options) {
    const [result] = await client.logProb(model.name, [input], scoreOptions(model, options));
    if (result.error) throw new ProblemError(result.error);
    return result;
  }

  async #ask(model, what, action) {
    const asked = ++this.#asked;
    clearProblem();
    $("score").setAttribute("aria-busy", "true");
    try {
      const answer = await action();
      if (asked !== this.#asked) return false;
      this.#show({ model, what, ...answer });
      return true;
    } catch (error) {
      if (asked !== this.#asked) return false;
      $("result").hidden = true;
      if (error instanceof UnreadableFile) showProblem({ title: "Unreadable file", detail: error.message });
      else showError(error);
      return false;
    } finally {
      if (asked === this.#asked) $("score").setAttribute("aria-busy", "false");
    }
  }

  #show({ model, what, result, steps }) {
    const labelled = model.conditions.some(({ kind }) => kind === "label");
    const { level, title, detail } = verdict(result.percentile, result.reference_n);
    const known = level !== "none";
    $("verdict").dataset.level = level;
    $("verdict").replaceChildren(make("strong", {}, title), ` ${detail}`);
    $("gauge").hidden = !known;
    if (known) {
      $("gauge").setAttribute("aria-label", `Percentile ${result.percentile.toFixed(1)} of 100`);
      $("gauge").style.setProperty("--at", `${result.percentile}%`);
    }
    this.#place(model, result);
    $("score-bits").textContent = result.bits_per_dim.toFixed(3);
    $("score-nats").textContent = figure(result.log_prob);
    $("score-percentile").textContent = known ? figure(result.percentile) : "–";
    $("score-reference").textContent = known
      ? `of ${figure(result.reference_n)} held out`
      : "no reference";
    const notes = [...steps, ...(result.fit ?? [])];
    if (result.marginalised) notes.push("labels summed out with the package’s prior");
    if (known && labelled && result.marginalised !== model.reference_marginal) {
      const how = model.reference_marginal ? "summed out" : "given";
      notes.push(`the held-out items were scored with their labels ${how}`);
    }
    $("score-notes").replaceChildren(...notes.map((note) => make("li", {}, note)));
    $("result").hidden = false;
    $("figures").replaceChildren(...figuresOf(model, result.data, result.per_dim));
    this.#last = { codes: result.data, what };
    $("go-on").hidden = !(goesOn(model) || model.kind === "image");
    $("go-on").textContent = model.length ? "Continue from this" : "Hide a part and complete it";
  }

  /** Shows the result's place among the scores of held-out items. */
  async #place(model, result) {
    $("histogram").replaceChildren();
    if (!model.reference_n) return;
    if (!this.#references.has(model.name)) {
      this.#references.set(model.name, client.model(model.name).then((full) => full.reference_scores));
    }
    const asked = this.#asked;
    const scores = await this.#references.get(model.name).catch(() => []);
    if (asked !== this.#asked || scores.length < 2) return;
    $("histogram").replaceChildren(histogram(scores, inUnit(result, model), model));
  }

  #catchDrops() {
    let depth = 0; // of nested elements that the pointer entered
    const veil = (on) => {
      $("veil").hidden = !on;
    };
    const files = (event) => event.dataTransfer?.types.includes("Files");
    const field = (event) => event.target.matches?.("input[type=file]"); // takes files itself
    window.addEventListener("dragenter", (event) => files(event) && veil(++depth > 0));
    window.addEventListener("dragleave", (event) => files(event) && veil(--depth > 0));
    window.addEventListener("dragover", (event) => {
      if (depth > 0) veil(!field(event));
      if (!field(event)) event.preventDefault();
    });
    window.addEventListener("drop", (event) => {
      veil(false);
      depth = 0;
      if (field(event)) return;
      event.preventDefault();
      this.scoreFiles([...event.dataTransfer.files]);
    });
  }
}

/** The choice of what is known of a label when an item is scored. */
function knownLabel(label) {
  const { name, classes } = label;
  const known = [...Array(classes).keys()].map((value) => {
    return make("option", { value: `${value}` }, nameOf(label, value));
  });
  const unknown = make("option", { value: "" }, "unknown: all summed");
  const choice = make("select", { name }, unknown, ...known);
  return make("label", { className: "select" }, make("span", {}, name), choice);
}

/** The condition of one item, where that of the request lists one for each. */
function ownCondition(condition, item) {
  const own = Object.entries(condition).map(([name, value]) => {
    return [name, Array.isArray(value) ? value[item] : value];
  });
  return Object.fromEntries(own);
}

function describe(model, condition) {
  return model.conditions
    .filter(({ name }) => name in condition)
    .map((spec) => (spec.kind === "label" ? `${spec.name} ${nameOf(spec, condition[spec.name])}` : spec.name))
    .join(", ");
}
