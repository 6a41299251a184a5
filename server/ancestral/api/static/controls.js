/** The form of a sampling request: condition, temperature, length, items, seed. */

import { $, figure, make } from "./dom.js";
import { Easel } from "./easel.js";
import { givenOf } from "./given.js";
import { nameOf } from "./labels.js";
import { goesOn } from "./lanes.js";
import { showProblem } from "./problem.js";
import { accepted, asInput } from "./score.js";

const OWN = {
  image: "Complete a picture of yours",
  audio: "Continue a recording of yours",
  midi: "Continue a piece of yours",
};
const COMPLETIONS = 4; // of a picture, side by side, unless another number was asked for
const CHIPS = 20; // classes that are shown as chips; more are typed, or picked from a list of names
const TYPED = "input[type=number], select"; // holds a class where there are no chips
const STEPS_PER_SECOND = 20; // of the length of a sound
const NOTCHES = 200; // of the length's slider, evenly spaced in log length

/** What the form says of a model, as fields of `generate`. */
export class Controls {
  #model = null;
  #sites = 0; // of an item of open length
  #given = null; // codes that it begins with
  #easel = new Easel();
  #files = new Map(); // that series are measured of, by condition

  constructor() {
    $("temperature").addEventListener("input", () => this.#label());
    $("length").addEventListener("input", () => this.#measure());
    $("ungive").addEventListener("click", () => this.#give(null));
    $("begin").addEventListener("input", () => this.#room(Array.from($("begin").value).length));
    $("begin").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("controls").requestSubmit();
    });
    $("conditions").addEventListener("change", () => this.#oneOfEach());
  }

  /** False where the model's conditions cannot be given here. */
  get able() {
    return $("unsupported").hidden;
  }

  /** Sets the form up for a model, as the options of a link say and with what was given there. */
  choose(model, options = null, given = {}) {
    this.#model = model;
    const series = model.conditions.filter(({ kind }) => kind === "series");
    const strange = model.conditions.some(({ kind }) => kind !== "label" && kind !== "series");
    $("unsupported").hidden = !strange;
    $("unsupported").textContent =
      "This model needs conditions given as numbers: sample it through POST /sample.";
    const labels = strange ? [] : model.conditions;
    $("conditions").hidden = labels.length === 0;
    $("conditions").replaceChildren(...labels.map((label, number) => this.#field(label, number === 0)));
    $("length-field").hidden = !model.length || series.length > 0; // as long as its series
    if (model.length) this.#lengthen(model.length.default);
    $("begin-field").hidden = model.codec?.kind !== "text";
    $("begin").value = "";
    this.#give(null);
    this.#easel.choose(model);
    const own = OWN[model.codec?.kind ?? model.kind] ?? OWN[model.kind];
    $("given-line").hidden = !own || !(model.kind === "image" || goesOn(model));
    $("begin-what").textContent = own ?? "";
    $("begin-file").accept = accepted(model);
    $("count").value = 1;
    if (options) this.#restore(options);
    this.#regive(givenOf(given, model));
    this.#label();
  }

  /** Gives what a link gave; null where that is not of this model. */
  #regive(given) {
    if (given === null) {
      const detail = "A part of it is missing or is not of this model: nothing is given to the items.";
      showProblem({ title: "The link is damaged", detail });
      return;
    }
    const { known, prefix, condition } = given;
    if (known) this.#easel.restore(known);
    if (prefix) this.#give(prefix, "what the link gives");
    this.#model.conditions.forEach(({ name }, number) => {
      const input = $("conditions").children[number]?.querySelector("input[type=file]");
      if (!input || !condition[name]) return;
      this.#files.set(name, condition[name]);
      input.required = false;
      input.after(make("span", { className: "quiet" }, "the link’s recording, unless you choose one"));
    });
  }

  /** Fills the form in as a link says. */
  #restore(options) {
    for (const name of ["seed", "temperature", "count"]) {
      if (options.has(name)) $(name).value = options.get(name);
    }
    if (!$("begin-field").hidden) $("begin").value = options.get("prefix") ?? "";
    const { length, conditions } = this.#model;
    const sites = Number(options.get("sites"));
    if (length && sites >= 1) this.#lengthen(Math.min(sites, length.maximum));
    conditions.forEach(({ name }, number) => {
      const value = options.get(`condition.${name}`);
      const field = $("conditions").children[number];
      if (value === null || !field) return;
      const typed = field.querySelector(TYPED);
      const chip = [...field.querySelectorAll("input[type=radio]")].find((radio) => radio.value === value);
      if (typed) typed.value = value;
      else if (chip) chip.checked = true;
    });
  }

  /** The fields of `generate` for the chosen model. */
  request() {
    const model = this.#model;
    const count = Number($("count").value);
    const request = { model: model.name, count, temperature: Number($("temperature").value) };
    if ($("seed").value !== "") request.seed = $("seed").value;
    if (!$("length-field").hidden) request.sites = this.#sites;
    if (this.#given !== null) request.prefix = this.#given;
    if (!$("begin-field").hidden && $("begin").value) request.prefix = $("begin").value;
    if (this.#easel.known !== null && model.kind === "image") request.known = this.#easel.known;
    if (!$("conditions").hidden) {
      const chosen = model.conditions.map(({ name, kind, classes }, number) => {
        if (kind === "series") {
          request.fit = true; // whatever the recording's rate is
          return [name, this.#files.get(name)];
        }
        const each = Array.from({ length: count }, (_, item) => item % classes);
        const value = this.#chosen(number);
        return [name, value === "each" ? each : Number(value)];
      });
      request.condition = Object.fromEntries(chosen);
    }
    return request;
  }

  /** Has items begin with these codes, or puts a picture on the easel; `what` says whose they are. */
  give(codes, what) {
    if (this.#model.kind === "image") {
      this.#easel.load(codes);
      if (Number($("count").value) === 1) $("count").value = COMPLETIONS;
    } else if (this.#model.codec?.kind === "text") {
      const alphabet = Array.from(this.#model.codec.alphabet);
      $("begin").value = codes.map((code) => alphabet[code]).join("");
      this.#room(codes.length);
    } else {
      this.#give(codes, what);
    }
  }

  #give(codes, what) {
    this.#given = codes;
    $("given").hidden = codes === null;
    if (codes === null) return;
    $("given-text").textContent = `Goes on from ${what}, ${this.#extent(codes.length)}`;
    this.#room(codes.length);
  }

  /** Makes items longer than what they begin with. */
  #room(sites) {
    const { length } = this.#model;
    if (sites >= this.#sites) this.#lengthen(Math.min(length.maximum, sites + length.default));
  }

  /** The step of the length: a twentieth of a second, a bar, or a site. */
  get #least() {
    const { sample_rate: rate, codec } = this.#model;
    if (rate) return Math.round(rate / STEPS_PER_SECOND);
    return codec?.kind === "midi" ? 4 * codec.steps * codec.voices : 1;
  }

  #lengthen(sites) {
    this.#sites = sites;
    const [least, { maximum }] = [this.#least, this.#model.length];
    const share = Math.log(sites / least) / Math.log(maximum / least);
    Object.assign($("length"), { min: 0, max: NOTCHES, step: 1, value: NOTCHES * share });
    this.#label();
  }

  #measure() {
    const [least, { maximum }] = [this.#least, this.#model.length];
    const sites = least * (maximum / least) ** (Number($("length").value) / NOTCHES);
    this.#sites = Math.min(maximum, least * Math.round(sites / least));
    this.#label();
  }

  /** A number of sites as a listener or reader counts them. */
  #extent(sites) {
    const { sample_rate: rate, codec } = this.#model;
    if (rate) return `${(sites / rate).toFixed(2)} s`;
    if (codec?.kind === "midi") {
      const quarters = sites / codec.voices / codec.steps;
      return `${figure(quarters / 4)} bars, ${Math.round((60 * quarters) / codec.tempo)} s`;
    }
    return `${figure(sites)} ${codec?.kind === "text" ? "characters" : "sites"}`;
  }

  #label() {
    $("temperature-value").textContent = Number($("temperature").value).toFixed(2);
    if (this.#model?.length) {
      $("length-value").textContent = this.#extent(this.#sites);
      $("length").setAttribute("aria-valuetext", this.#extent(this.#sites));
    }
  }

  #field(condition, first) {
    if (condition.kind === "label") return fieldset(condition, first);
    const input = make("input", { type: "file", accept: "audio/*,.npy", required: true });
    input.setAttribute("aria-label", condition.name);
    this.#files.delete(condition.name);
    input.addEventListener("change", async () => {
      this.#files.delete(condition.name);
      input.required = true;
      input.nextSibling?.remove(); // of a link's recording
      input.setCustomValidity("The file is being read.");
      try {
        if (input.files.length === 0) return;
        const { input: file } = await asInput(input.files[0], this.#model);
        this.#files.set(condition.name, file);
      } catch (error) {
        input.value = "";
        showProblem({ title: "Unreadable file", detail: error.message });
      } finally {
        input.setCustomValidity("");
      }
    });
    const legend = condition.frames ? `${condition.name}, measured of a recording` : condition.name;
    return make("fieldset", {}, make("legend", {}, legend), input);
  }

  /** Choosing every class of the first label asks for one item of each; choosing one class takes that back. */
  #oneOfEach() {
    const { classes } = this.#model.conditions[0];
    if (classes === undefined) return;
    if (this.#chosen(0) === "each") $("count").value = classes;
    else if (Number($("count").value) === classes) $("count").value = 1;
  }

  #chosen(number) {
    const field = $("conditions").children[number];
    return (field.querySelector(TYPED) ?? field.querySelector("input:checked")).value;
  }
}

/** The choice of a label's class; the first label may be "each" of its classes in turn. */
function fieldset(label, first) {
  const { name, classes } = label;
  const values = [...Array(classes).keys(), ...(first ? ["each"] : [])];
  const inputs = classes <= CHIPS ? chips(label, values) : [many(label)];
  const chosen = make("div", { className: "chips" }, ...inputs);
  return make("fieldset", {}, make("legend", {}, name), chosen);
}

function chips(label, values) {
  return values.map((value) => {
    const radio = { type: "radio", name: label.name, value, checked: value === 0, className: "hidden" };
    return make("label", { className: "chip" }, make("input", radio), make("span", {}, nameOf(label, value)));
  });
}

function many({ name, classes, names }) {
  if (names) {
    const options = names.map((each, value) => make("option", { value: `${value}` }, each));
    return make("select", { "aria-label": name }, ...options);
  }
  const number = { type: "number", min: 0, max: classes - 1, step: 1, value: 0, required: true };
  return make("input", { ...number, "aria-label": name });
}
