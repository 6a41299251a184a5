/** The page: a rail of models, a panel that samples, a panel that scores. */

import { $ } from "./dom.js";
import { Rail } from "./models.js";
import { Sampler } from "./sampler.js";
import { Scorer } from "./scorer.js";

const HEALTH_MS = 15000;

async function watchHealth() {
  let state = "unreachable";
  try {
    const response = await fetch("health/ready");
    state = response.ok ? "ready" : "not ready";
  } catch {
    // the state says it
  }
  $("health").dataset.state = state;
  $("health-text").textContent = state;
  setTimeout(watchHealth, HEALTH_MS);
}

const scorer = new Scorer((codes, what) => sampler.goOn(codes, what));
const sampler = new Sampler((picked) => scorer.scoreSample(picked));
const rail = new Rail((model, anew) => {
  sampler.choose(model, anew);
  scorer.choose(model, anew);
});
rail.refresh();
watchHealth();
