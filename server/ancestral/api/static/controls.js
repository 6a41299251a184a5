/** The form of a sampling request: condition, temperature, length, items, seed. */

import { $, make } from "./dom.js";

const CHIPS = 20; // classes that are shown as chips; more are typed
const STEPS_PER_SECOND = 20; // of the length of a sound

/** What the form says of a model, as fields of `generate`. */
export class Controls {
  #model = null;

  constructor() {
    $("temperature").addEventListener("input", () => this.#label());
    $("length").addEventListener("input", () => this.#label());
    $("conditions").addEventListener("change", () => this.#oneOfEach());
  }

  /** False where the model's conditions cannot be given here. */
  get able() {
    return $("unsupported").hidden;
  }

  /** Sets the form up for a model. */
  choose(model) {
    this.#model = model;
    const strange = model.conditions.some(({ kind }) => kind !== "label");
    $("unsupported").hidden = !strange;
    $("unsupported").textContent =
      "This model needs conditions given as numbers: sample it through POST /sample.";
    const labels = strange ? [] : model.conditions;
    $("conditions").hidden = labels.length === 0;
    $("conditions").replaceChildren(...labels.map((label, number) => fieldset(label, number === 0)));
    $("length-field").hidden = !model.length;
    if (model.length) {
      const step = model.sample_rate ? Math.round(model.sample_rate / STEPS_PER_SECOND) : 1;
      const { default: value, maximum: max } = model.length;
      Object.assign($("length"), { min: step, max, step, value });
    }
    $("count").value = 1;
    this.#label();
  }

  /** The fields of `generate` for the chosen model. */
  request() {
    const model = this.#model;
    const count = Number($("count").value);
    const request = { model: model.name, count, temperature: Number($("temperature").value) };
    if ($("seed").value !== "") request.seed = $("seed").value;
    if (model.length) request.sites = Number($("length").value);
    if (!$("conditions").hidden) {
      const chosen = model.conditions.map(({ name, classes }, number) => {
        const each = Array.from({ length: count }, (_, item) => item % classes);
        const value = this.#chosen(number);
        return [name, value === "each" ? each : Number(value)];
      });
      request.condition = Object.fromEntries(chosen);
    }
    return request;
  }

  #label() {
    $("temperature-value").textContent = Number($("temperature").value).toFixed(2);
    const rate = this.#model?.sample_rate;
    const sites = Number($("length").value);
    $("length-value").textContent = rate ? `${(sites / rate).toFixed(2)} s` : `${sites} sites`;
  }

  /** Choosing every class of the first label asks for one item of each; choosing one class takes that back. */
  #oneOfEach() {
    const { classes } = this.#model.conditions[0];
    if (this.#chosen(0) === "each") $("count").value = classes;
    else if (Number($("count").value) === classes) $("count").value = 1;
  }

  #chosen(number) {
    const field = $("conditions").children[number];
    return (field.querySelector("input[type=number]") ?? field.querySelector("input:checked")).value;
  }
}

/** The choice of a label's class; the first label may be "each" of its classes in turn. */
function fieldset({ name, classes }, first) {
  const values = [...Array(classes).keys(), ...(first ? ["each"] : [])];
  const inputs = classes <= CHIPS ? chips(name, values) : [typed(name, classes)];
  const chosen = make("div", { className: "chips" }, ...inputs);
  return make("fieldset", {}, make("legend", {}, name), chosen);
}

function chips(name, values) {
  return values.map((value) => {
    const radio = { type: "radio", name, value, checked: value === 0, className: "hidden" };
    return make("label", { className: "chip" }, make("input", radio), make("span", {}, `${value}`));
  });
}

function typed(name, classes) {
  const number = { type: "number", min: 0, max: classes - 1, step: 1, value: 0, required: true };
  return make("input", { ...number, "aria-label": name });
}
