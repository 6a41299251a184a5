/** Where scored items fall among the held-out ones: a histogram of the reference's scores. */

import { figure, make } from "./dom.js";

const BINS = 44;
const TAIL = 0.01; // of the reference that the first bar may hold beyond its end

/** {low, high, counts} of ascending scores; what lies below the first percentile is in the first bin. */
export function bins(scores, count = BINS) {
  const high = scores.at(-1);
  const low = Math.min(scores[Math.floor(TAIL * scores.length)], high - 1e-6);
  const counts = new Array(count).fill(0);
  for (const score of scores) counts[binOf(score, low, high, count)]++;
  return { low, high, counts };
}

function binOf(score, low, high, count) {
  const share = (score - low) / (high - low);
  return Math.min(count - 1, Math.max(0, Math.floor(share * count)));
}

/** A result's score in the reference's unit: nats, or bits per dimension where items vary in length. */
export function inUnit(result, model) {
  return model.length ? -result.bits_per_dim : result.log_prob;
}

/** The histogram with a mark where `score`, in the reference's unit, falls. */
export function histogram(scores, score, model) {
  const { low, high, counts } = bins(scores);
  const most = Math.max(...counts);
  const bars = counts.map((held) => {
    const bar = make("i", { className: "bin" });
    bar.style.setProperty("--tall", `${(100 * held) / most}%`);
    return bar;
  });
  const mark = make("b", { className: "place" });
  const share = Math.min(1, Math.max(0, (score - low) / (high - low)));
  mark.style.setProperty("--at", `${100 * share}%`);
  const told = (value) => {
    const shown = model.length ? (-value).toFixed(2) : figure(value);
    return `${shown} ${model.length ? "bits/dim" : "nats"}`;
  };
  const plot = make("div", { className: "bins", role: "img" }, ...bars, mark);
  plot.setAttribute(
    "aria-label",
    `Held-out items from ${told(low)} to ${told(high)}; this one: ${told(score)}`,
  );
  const between = make("span", {}, "scores of held-out items");
  const ends = [make("span", {}, told(low)), between, make("span", {}, told(high))];
  return make("div", {}, plot, make("p", { className: "bin-ends" }, ...ends));
}
