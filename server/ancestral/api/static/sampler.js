/** The panel that samples: one job at a time, its sound and its read-out. */

import { addressOf } from "./address.js";
import { Speaker } from "./audio.js";
import { soundRate } from "./codec.js";
import { Controls } from "./controls.js";
import { $, figure, make } from "./dom.js";
import { clearProblem, showProblem } from "./problem.js";
import { setStage } from "./stage.js";
import { Job, streamUrl } from "./stream.js";

const WINDOW_SECONDS = 1.5; // over which the speed is measured
const HINTS = {
  ready: "Press Sample, or Enter.",
  loading: "The model is loading…",
  unloaded: "The model is not loaded.",
  failed: "The model could not be loaded.",
};
const SITES = {
  image: "pixel",
  audio: "sample",
  text: "character",
  midi: "note",
  vector: "value",
  sequence: "value",
};
const CALM = window.matchMedia("(prefers-reduced-motion: reduce)");

/** One job: its model and request, then `started`, its view and what has arrived. */
class Run {
  job = null;
  started = null;
  view = null;
  ended = false;
  replaying = false; // a sound was chosen by hand: no other follows it
  arrived = 0;
  #begun = 0;
  #marks = [];

  constructor(model, request) {
    this.model = model;
    this.request = request;
  }

  start(started, view) {
    this.started = started;
    this.view = view;
    this.#begun = performance.now();
  }

  put(frame) {
    const now = performance.now() / 1000;
    this.view.put(frame);
    this.arrived += frame.count;
    this.#marks.push({ sites: frame.count, now });
    while (now - this.#marks[0].now > WINDOW_SECONDS) this.#marks.shift();
  }

  /** Sites in all. */
  get total() {
    return this.started.count * this.started.sites;
  }

  /** Seconds since `started`. */
  get seconds() {
    return (performance.now() - this.#begun) / 1000;
  }

  /** Sites per second over the last moments. */
  get speed() {
    const [first, ...later] = this.#marks;
    if (later.length === 0) return NaN;
    const sites = later.reduce((sum, mark) => sum + mark.sites, 0);
    return sites / Math.max(1e-3, later.at(-1).now - first.now);
  }
}

/** `onPick({model, condition, item, codes})` is called with a sample to be scored. */
export class Sampler {
  #onPick;
  #model = null;
  #run = null;
  #controls = new Controls();
  #speaker = new Speaker();

  constructor(onPick) {
    this.#onPick = onPick;
    $("controls").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#busy) this.#stop();
      else this.#begin();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#stop();
    });
    let before = performance.now();
    const frame = (now) => {
      this.#tick((now - before) / 1000);
      before = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  get #busy() {
    return this.#run !== null && !this.#run.ended;
  }

  /** Shows the controls of a model; `anew` where it is not the one before, `options` of a link. */
  choose(model, anew, options = null) {
    this.#model = model;
    if (anew) {
      if (this.#busy) this.#run.job.cancel();
      this.#clear(HINTS[model.state]);
      this.#running(false);
      this.#controls.choose(model, options);
    } else if (this.#run === null) {
      this.#clear(HINTS[model.state]);
    }
    $("play").disabled = model.state !== "ready" || !this.#controls.able;
  }

  /** Has the next samples go on from an item's codes. */
  goOn(codes, what) {
    this.#controls.give(codes, what);
    $("controls").scrollIntoView({ block: "nearest" });
    $("play").focus();
  }

  #clear(hint) {
    this.#speaker.stop();
    this.#run = null;
    $("stage").replaceChildren(make("p", { className: "hint" }, hint));
    $("stage").dataset.sound = "idle";
    for (const id of ["speed", "sites", "extra", "bits"]) $(id).textContent = "–";
    $("sites-total").textContent = "";
    $("progress").value = 0;
    $("trail").replaceChildren();
    $("site-word").textContent = SITES[this.#model.codec?.kind] ?? SITES[this.#model.kind];
    $("extra-name").textContent = soundRate(this.#model) ? "Real time" : "Elapsed";
  }

  #running(on) {
    $("play").dataset.running = String(on);
    $("play-text").textContent = on ? "Stop" : "Sample";
    $("stage").setAttribute("aria-busy", String(on));
  }

  #begin() {
    clearProblem();
    this.#clear("Waiting for a slot…");
    this.#running(true);
    const rate = soundRate(this.#model);
    if (rate) this.#speaker.wake(rate);
    const run = new Run(this.#model, this.#controls.request());
    // A job that was left for another model still ends; it has nothing to say here.
    const mine = (react) => (message) => this.#run === run && react(message);
    run.job = new Job(streamUrl(location), run.request, {
      queued: () => {},
      started: mine((started) => this.#start(started)),
      values: mine((frame) => run.put(frame)),
      done: mine((done) => this.#done(done)),
      canceled: mine(() => this.#ended("Stopped.")),
      failed: mine((problem) => {
        showProblem(problem);
        this.#ended("Failed.");
      }),
    });
    this.#run = run;
  }

  #stop() {
    if (!this.#busy) return;
    this.#speaker.stop();
    this.#run.job.cancel();
  }

  #start(started) {
    const { model, request } = this.#run;
    const view = setStage(model, started, request.prefix?.length ?? 0, {
      onPick: (picked) => this.#onPick({ model, condition: request.condition, ...picked }),
      onPlay: (sound) => this.#toggle(sound),
      onContinue: ({ item, codes }) => this.goOn(codes, `sample ${item + 1}`),
    });
    this.#run.start(started, view);
    const [first] = view.sounds();
    if (first) this.#speaker.play(first);
    this.#trail(started);
    $("announce").textContent = "Sampling.";
  }

  #trail({ seed, fingerprint, notes = [] }) {
    const again = make("button", { type: "button", className: "plain" }, `Keep seed ${seed}`);
    again.addEventListener("click", () => {
      $("seed").value = seed;
    });
    const { request } = this.#run;
    const address = addressOf(request, seed);
    if (address !== null) history.replaceState(null, "", address);
    const link = make("button", { type: "button", className: "plain", hidden: !address }, "Copy link");
    link.addEventListener("click", async () => {
      await navigator.clipboard?.writeText(new URL(address, location.href).href);
      link.textContent = "Copied";
    });
    const text = [fingerprint, ...notes].filter(Boolean).join(" · ");
    $("trail").replaceChildren(again, link, make("span", {}, text));
  }

  #done(done) {
    const mean = done.items.reduce((sum, item) => sum + item.bits_per_dim, 0) / done.items.length;
    this.#ended(`Done: ${mean.toFixed(3)} bits per dimension.`, done);
    $("speed").textContent = figure(done.sites_per_second);
    $("bits").textContent = mean.toFixed(3);
  }

  #ended(text, done = null) {
    const run = this.#run;
    $("announce").textContent = text;
    this.#running(false);
    if (run.view === null) {
      this.#clear(text);
      return;
    }
    run.ended = true;
    run.view.finish(done?.items ?? null);
    this.#readout(run, done?.sites_per_second ?? run.speed, done?.seconds ?? run.seconds);
  }

  #tick(seconds) {
    const run = this.#run;
    if (!run?.view) return;
    if (!run.ended) {
      run.view.show(CALM.matches ? Infinity : seconds);
      this.#readout(run, run.speed, run.seconds);
    }
    this.#listen(run);
  }

  #readout(run, speed, seconds) {
    $("speed").textContent = figure(speed);
    $("sites").textContent = figure(run.arrived);
    $("sites-total").textContent = `of ${figure(run.total)}`;
    $("progress").value = run.arrived / run.total;
    if (run.view.rate) {
      const times = speed / (run.started.count * run.view.rate);
      $("extra").textContent = Number.isFinite(times) ? `× ${times.toFixed(2)}` : "–";
    } else {
      $("extra").textContent = `${seconds.toFixed(1)} s`;
    }
  }

  /** Lets the speaker go on, moves the playhead, goes from one sound of a job to the next. */
  #listen(run) {
    const sounds = run.view.sounds();
    const heard = this.#speaker.sound;
    if (!sounds.includes(heard)) return;
    const { state, sample, wait } = this.#speaker.tick();
    $("stage").dataset.sound = state;
    run.view.heard(state === "ended" ? null : heard, sample);
    if (state === "ended") this.#queueAfter(sounds, heard, run);
    if (run.ended) return;
    const seconds = Math.ceil(wait);
    const soon = state === "waiting" && Number.isFinite(seconds) && seconds > 0;
    $("play-text").textContent = soon ? `Stop · sound in ${seconds} s` : "Stop";
  }

  /** Sounds of a job are heard one after the other, once. */
  #queueAfter(sounds, heard, run) {
    const next = sounds[sounds.indexOf(heard) + 1];
    if (next && !run.replaying) this.#speaker.play(next);
  }

  #toggle(sound) {
    const stopping = this.#speaker.sound === sound;
    this.#speaker.stop();
    this.#run.replaying = true;
    this.#run.view.heard(null);
    $("stage").dataset.sound = "idle";
    if (stopping) return;
    this.#speaker.wake(sound.rate);
    this.#speaker.play(sound);
  }
}
