/** The panel that scores: files dropped or chosen, samples picked from the stage. */

import { $, extent, figure, levels, make } from "./dom.js";
import { colouring } from "./painter.js";
import { ProblemError, clearProblem, showProblem } from "./problem.js";
import { UnreadableFile, asInput, heard, score, scoreRequest, verdict } from "./score.js";
import { pictureFigures, signalFigures } from "./surprise.js";

const WHAT = { image: "an image", audio: "a sound", vector: "an .npy", sequence: "an .npy" };
const ACCEPT = { image: "image/*,.npy", audio: "audio/*,.npy" };

/** Scores with the model that is chosen. */
export class Scorer {
  #model = null;
  #asked = 0; // answers to earlier questions are not shown

  constructor() {
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
    $("drop-what").textContent = WHAT[model.kind];
    $("drop-shape").textContent = `${extent(model)}, ${levels(model)}`;
    $("file").accept = ACCEPT[model.kind] ?? ".npy,application/json";
    const labels = model.conditions.filter(({ kind }) => kind === "label");
    $("known").hidden = labels.length === 0;
    $("known").replaceChildren(...labels.map(knownLabel));
  }

  /** Scores a file under what the options say. */
  async scoreFile(file) {
    const model = this.#model;
    await this.#ask(async () => {
      const { input, steps } = await asInput(file, model);
      const condition = this.#condition(model);
      const result = await this.#score(model, input, { fit: $("fit").checked, condition });
      return { result, steps, figures: await figuresOfFile(file, model, result) };
    });
  }

  /** Scores a sample under the condition that it was drawn with. */
  async scoreSample({ model, codes, item, sound, condition }) {
    const own = condition && ownCondition(condition, item);
    await this.#ask(async () => {
      const result = await this.#score(model, codes, { condition: own ?? null });
      const steps = [`sample ${item + 1}${own ? `, ${describe(own)}` : ""}`];
      return { result, steps, figures: figuresOfSample(codes, model, sound, result) };
    });
    $("score").scrollIntoView({ block: "nearest" });
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

  async #ask(action) {
    const asked = ++this.#asked;
    clearProblem();
    $("score").setAttribute("aria-busy", "true");
    try {
      const answer = await action();
      if (asked === this.#asked) this.#show(answer);
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

  #show({ result, steps, figures }) {
    const labelled = this.#model.conditions.some(({ kind }) => kind === "label");
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
    if (known && labelled && result.marginalised !== this.#model.reference_marginal) {
      const how = this.#model.reference_marginal ? "summed out" : "given";
      notes.push(`the held-out items were scored with their labels ${how}`);
    }
    $("score-notes").replaceChildren(...notes.map((note) => make("li", {}, note)));
    $("result").hidden = false;
    $("figures").replaceChildren(...figures());
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

function figuresOfSample(codes, model, sound, { per_dim: perDim }) {
  if (model.kind !== "image") return () => signalFigures({ samples: sound.samples, perDim });
  const colour = colouring(model);
  const paint = (context) => {
    const [, height, width] = model.shape;
    for (let i = 0; i < height * width; i++) {
      const values = codes.map((plane) => plane[Math.floor(i / width)][i % width]);
      context.fillStyle = `rgb(${colour(values, 0).join(" ")})`;
      context.fillRect(i % width, Math.floor(i / width), 1, 1);
    }
  };
  return () => pictureFigures({ shape: model.shape, perDim, paint, pictureName: "The sample" });
}

async function figuresOfFile(file, model, { per_dim: perDim }) {
  if (model.kind !== "image") {
    const sound = file.type.startsWith("audio/") ? await heard(file, model.sample_rate) : null;
    return () => signalFigures({ samples: sound, perDim });
  }
  const [channels, height, width] = model.shape;
  let paint = null;
  if (file.type.startsWith("image/")) {
    const bitmap = await createImageBitmap(file);
    paint = (context) => {
      context.imageSmoothingQuality = "high";
      context.filter = channels === 1 && !model.palette ? "grayscale(1)" : "none";
      context.drawImage(bitmap, 0, 0, width, height);
    };
  }
  return () => pictureFigures({ shape: model.shape, perDim, paint, pictureName: "Yours" });
}
