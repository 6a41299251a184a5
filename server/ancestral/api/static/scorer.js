/** The panel that scores: files dropped or chosen, samples picked from the stage. */

import { $, extent, figure, levels, make } from "./dom.js";
import { ProblemError, clearProblem, showProblem } from "./problem.js";
import { figuresOf } from "./figures.js";
import { UnreadableFile, asInput, score, scoreRequest, verdict } from "./score.js";

const WHAT = {
  image: "an image",
  audio: "a sound",
  text: "a .txt",
  midi: "a .mid",
  vector: "an .npy",
  sequence: "an .npy",
};
const ACCEPT = {
  image: "image/*,.npy",
  audio: "audio/*,.npy",
  text: "text/plain,.npy",
  midi: "audio/midi,audio/x-midi,.mid,.midi,.npy",
};

/** Scores with the model that is chosen; `onGoOn(codes, what)`: samples are to go on from these. */
export class Scorer {
  #model = null;
  #asked = 0; // answers to earlier questions are not shown
  #last = null; // the item that is shown: {codes, what}

  constructor(onGoOn) {
    $("go-on").addEventListener("click", () => onGoOn(this.#last.codes, this.#last.what));
    $("score-words").addEventListener("click", () => this.scoreText($("words").value));
    $("words").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.scoreText($("words").value);
    });
    $("file").addEventListener("change", () => {
      const [file] = $("file").files;
      $("file").value = "";
      if (file) this.scoreFile(file);
    });
    this.#catchDrops();
  }

  choose(model, anew) {
    this.#model = model;
    if (!anew) return;
    this.#asked++;
    $("result").hidden = true;
    $("score").setAttribute("aria-busy", "false");
    const kind = model.codec?.kind in WHAT ? model.codec.kind : model.kind;
    $("drop-what").textContent = WHAT[kind];
    $("own").hidden = kind !== "text";
    $("drop-shape").textContent = `${extent(model)}, ${levels(model)}`;
    $("file").accept = ACCEPT[kind] ?? ".npy,application/json";
    const labels = model.conditions.filter(({ kind }) => kind === "label");
    $("known").hidden = labels.length === 0;
    $("known").replaceChildren(...labels.map(knownLabel));
  }

  /** Scores a file under what the options say. */
  async scoreFile(file) {
    const model = this.#model;
    await this.#ask(model, file.name, async () => {
      const { input, steps } = await asInput(file, model);
      return { steps, result: await this.#score(model, input, this.#options(model)) };
    });
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
      return { steps: [`${what}${own ? `, ${describe(own)}` : ""}`], result };
    });
    $("score").scrollIntoView({ block: "nearest" });
  }

  #options(model) {
    return { fit: $("fit").checked, condition: this.#condition(model) };
  }

  #condition(model) {
    const chosen = [...$("known").querySelectorAll("select")].filter(({ value }) => value !== "");
    if (chosen.length === 0) return null;
    return Object.fromEntries(chosen.map(({ name, value }) => [name, Number(value)]));
  }

  async #score(model, input, options) {
    const result = await score(scoreRequest(model, input, options));
    if (result.error) throw new ProblemError(result.error);
    return result;
  }

  async #ask(model, what, action) {
    const asked = ++this.#asked;
    clearProblem();
    $("score").setAttribute("aria-busy", "true");
    try {
      const answer = await action();
      if (asked === this.#asked) this.#show({ model, what, ...answer });
    } catch (error) {
      if (asked !== this.#asked) return;
      $("result").hidden = true;
      if (error instanceof ProblemError) showProblem(error.problem);
      else if (error instanceof UnreadableFile) showProblem({ title: "Unreadable file", detail: error.message });
      else throw error;
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
    $("go-on").hidden = !model.length;
  }

  #catchDrops() {
    let depth = 0; // of nested elements that the pointer entered
    const veil = (on) => {
      $("veil").hidden = !on;
    };
    const files = (event) => event.dataTransfer?.types.includes("Files");
    window.addEventListener("dragenter", (event) => files(event) && veil(++depth > 0));
    window.addEventListener("dragleave", (event) => files(event) && veil(--depth > 0));
    window.addEventListener("dragover", (event) => event.preventDefault());
    window.addEventListener("drop", (event) => {
      event.preventDefault();
      veil(false);
      depth = 0;
      const [file] = event.dataTransfer.files;
      if (file) this.scoreFile(file);
    });
  }
}

/** The choice of what is known of a label when an item is scored. */
function knownLabel({ name, classes }) {
  const known = [...Array(classes).keys()].map((value) => make("option", { value: `${value}` }, `${value}`));
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

function describe(condition) {
  return Object.entries(condition)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
}
