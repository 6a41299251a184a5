/** How the server stands: ready or why not, what samples, what waits. */

import { $, figure, make } from "./dom.js";
import { client } from "./server.js";

const HEALTH_MS = 15_000;
const OPEN_MS = 2_000; // while the panel is open

/** Sums of a gauge's values over its labels, of Prometheus' text format; 0 where it is absent. */
export function sumOf(metrics, name) {
  return metrics
    .split("\n")
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

export class Fleet {
  #timer = null;

  constructor() {
    $("fleet").addEventListener("toggle", () => this.look());
    this.look();
  }

  /** Looks now, and again after a while. */
  async look() {
    clearTimeout(this.#timer);
    let [state, reasons] = ["unreachable", []];
    try {
      reasons = (await client.ready()).reasons;
      state = reasons.length ? "not ready" : "ready";
    } catch {
      // the state says it
    }
    $("health").dataset.state = state;
    $("health-text").textContent = state;
    const open = $("fleet").matches(":popover-open");
    if (open) await this.#show(reasons).catch(() => {});
    this.#timer = setTimeout(() => this.look(), open ? OPEN_MS : HEALTH_MS);
  }

  async #show(reasons) {
    const [models, metrics] = await Promise.all([client.models(), client.metrics()]);
    const states = Map.groupBy(models, ({ state }) => state);
    const sum = (name) => models.reduce((total, model) => total + model[name], 0);
    const facts = {
      Models: [...states].map(([state, held]) => `${held.length} ${state}`).join(", "),
      "Slots in use": `${figure(sum("slots_in_use"))} of ${figure(sum("slots_total"))}`,
      "Jobs waiting": figure(sumOf(metrics, "ancestral_requests_waiting")),
      "Open streams": figure(sumOf(metrics, "ancestral_websockets_open")),
    };
    const busy = models.filter((model) => model.slots_in_use > 0);
    for (const { title, slots_in_use: used, slots_total: total } of busy) facts[title] = `${used} of ${total} slots`;
    const rows = Object.entries(facts).map(([name, value]) => {
      return make("div", {}, make("dt", {}, name), make("dd", {}, value));
    });
    const why = reasons.map((reason) => make("li", {}, reason));
    $("fleet").replaceChildren(make("dl", {}, ...rows), make("ul", { hidden: why.length === 0 }, ...why));
  }
}
