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
    $("condition").addEventListener("change", () => this.#oneOfEach());
  }

  /** False where the model's conditions cannot be given here. */
  get able() {
    return $("unsupported").hidden;
  }

  /** Sets the form up for a model. */
  choose(model) {
    this.#model = model;
    const [label, ...others] = model.conditions;
    const strange = others.length > 0 || (label && label.kind !== "label");
    $("unsupported").hidden = !strange;
    $("unsupported").textContent =
      "This model needs conditions given as numbers: sample it through POST /sample.";
    $("condition").hidden = !label || strange;
    $("classes").replaceChildren();
    if (label && !strange) {
      $("condition-name").textContent = label.name;
      const inputs = label.classes <= CHIPS ? chips(label.classes) : [typed(label.classes)];
      $("classes").replaceChildren(...inputs);
    }
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
    if (!$("condition").hidden) {
      const { name, classes } = model.conditions[0];
      const each = Array.from({ length: count }, (_, item) => item % classes);
      const value = this.#chosen();
      request.condition = { [name]: value === "each" ? each : Number(value) };
    }
    return request;
  }

  #label() {
    $("temperature-value").textContent = Number($("temperature").value).toFixed(2);
    const rate = this.#model?.sample_rate;
    const sites = Number($("length").value);
    $("length-value").textContent = rate ? `${(sites / rate).toFixed(2)} s` : `${sites} sites`;
  }

  /** Choosing every class asks for one item of each; choosing one class takes that back. */
  #oneOfEach() {
    const { classes } = this.#model.conditions[0];
    if (this.#chosen() === "each") $("count").value = classes;
    else if (Number($("count").value) === classes) $("count").value = 1;
  }

  #chosen() {
    const number = $("classes").querySelector("input[type=number]");
    return (number ?? $("classes").querySelector("input:checked")).value;
  }
}

function chips(classes) {
  const values = [...Array(classes).keys(), "each"];
  return values.map((value) => {
    const radio = { type: "radio", name: "class", value, checked: value === 0, className: "hidden" };
    return make("label", { className: "chip" }, make("input", radio), make("span", {}, `${value}`));
  });
}

function typed(classes) {
  const number = { type: "number", min: 0, max: classes - 1, step: 1, value: 0, required: true };
  return make("input", { ...number, "aria-labelledby": "condition-name" });
}
