/** How the server stands: ready or why not, what samples, what waits. */

import { $, figure, make } from "./dom.js";
import { client } from "./server.js";

const HEALTH_MS = 15_000;
const AGAIN_MS = 1_500; // after a request that had to wait
const OPEN_MS = 2_000; // while the panel is open

export class Fleet {
  #timer = null;

  constructor() {
    $("fleet").addEventListener("toggle", () => this.look());
    client.onWait = (error) => this.#away(error);
    this.look();
  }

  /** A request is tried again: the queue is full, or the server is away. */
  #away(error) {
    $("health").dataset.state = "waiting";
    $("health-text").textContent = error.status === 429 ? "queue is full: waiting" : "connection lost: trying again";
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.look(), AGAIN_MS);
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
    const [models, { workers, waiting }] = await Promise.all([client.models(), client.workers()]);
    const states = Map.groupBy(models, ({ state }) => state);
    const queued = Object.values(waiting).reduce((sum, jobs) => sum + jobs, 0);
    const facts = [
      ["Models", [...states].map(([state, held]) => `${held.length} ${state.replace("_", " ")}`).join(", ")],
      ["Jobs waiting", figure(queued)],
    ];
    for (const [label, jobs] of Object.entries(waiting)) if (jobs > 0) facts.push([label, `${jobs} waiting`]);
    const rows = facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));
    const why = reasons.map((reason) => make("li", {}, reason));
    $("fleet").replaceChildren(
      make("dl", {}, ...rows),
      make("h2", {}, "Workers ", make("span", { className: "count" }, `${workers.length}`)),
      make("div", { className: "crew" }, ...workers.map((worker) => crew(worker, models))),
      make("ul", { hidden: why.length === 0 }, ...why),
    );
  }
}

/** One worker: its slots as a meter, and what it is busy with. */
function crew({ worker, slots_in_use: used, slots_total: total, models: held }, models) {
  const name = make("span", { className: "crew-name", title: worker }, worker);
  const slots = make("span", {}, `${used} of ${total} slots`);
  const meter = make("meter", { min: 0, max: Math.max(1, total), value: used, "aria-label": `Slots of ${worker} in use` });
  const busy = Object.entries(held).filter(([, { slots_in_use: count }]) => count > 0);
  const titles = busy.map(([label, { slots_in_use: count }]) => {
    const model = models.find((each) => `${each.name}/${each.version}` === label);
    return `${model?.title ?? label}: ${count}`;
  });
  const work = make("p", { className: "quiet", hidden: titles.length === 0 }, titles.join(", "));
  return make("div", {}, make("p", { className: "crew-head" }, name, slots), meter, work);
}
