/** The panel that samples: one job at a time, its sound and its read-out. */

import { Speaker } from "./audio.js";
import { soundRate } from "./codec.js";
import { Controls } from "./controls.js";
import { $, figure, make } from "./dom.js";
import { clearProblem, showError } from "./problem.js";
import { Run } from "./run.js";
import { client } from "./server.js";
import { setStage } from "./stage.js";
import { showTrail } from "./trail.js";

const HINTS = {
  ready: "Press Sample, or Enter.",
  loading: "The model is loading…",
  on_demand: "Press Sample, or Enter: the model is loaded then.",
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

/**
 * `onPick({model, condition, item, codes})` is called with a sample to be scored, `onBusy(on)` when a
 * job begins or ends.
 */
export class Sampler {
  #onPick;
  #onBusy;
  #model = null;
  #run = null;
  #controls = new Controls();
  #speaker = new Speaker();

  constructor(onPick, onBusy) {
    this.#onPick = onPick;
    this.#onBusy = onBusy;
    $("controls").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#busy) this.#stop();
      else this.#begin();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#stop();
    });
    $("pause").addEventListener("click", () => this.#pause(!this.#run.paused));
    window.addEventListener("pagehide", () => this.#stop()); // nobody listens any more
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

  /** Shows the controls of a model; `anew` where it is not the one before, `options` and `given` of a link. */
  choose(model, anew, options = null, given = {}) {
    this.#model = model;
    if (anew) {
      if (this.#busy) this.#run.cancel();
      this.#clear(HINTS[model.state]);
      this.#running(false);
      this.#controls.choose(model, options, given);
    } else if (this.#run === null) {
      this.#clear(HINTS[model.state]);
    }
    $("play").disabled = !["ready", "on_demand"].includes(model.state) || !this.#controls.able;
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
    this.#onBusy(on);
    $("play").dataset.running = String(on);
    $("play-text").textContent = on ? "Stop" : "Sample";
    $("pause").hidden = !on;
    $("pause").disabled = true; // until there is something to hold
    this.#holding(false);
    $("stage").setAttribute("aria-busy", String(on));
  }

  #begin() {
    clearProblem();
    this.#clear("Waiting for a slot…");
    this.#running(true);
    const rate = soundRate(this.#model);
    if (rate) this.#speaker.wake(rate);
    const run = new Run(this.#model, this.#controls.request());
    this.#run = run;
    this.#follow(run);
  }

  /** Reads a job to its end. One that was left for another model has nothing to say here. */
  async #follow(run) {
    const { model, ...options } = run.request;
    const stream = client.stream(model, { ...options, signal: run.signal, progress: true });
    run.stream = stream;
    try {
      for await (const frame of stream) {
        if (this.#run !== run) continue;
        if (run.view === null) this.#start(stream.started);
        run.put(frame);
      }
      if (this.#run === run) this.#done(stream.done);
    } catch (error) {
      if (this.#run !== run) return;
      this.#ended(run.signal.aborted ? "Stopped." : "Failed.");
      if (!run.signal.aborted) showError(error);
    }
  }

  #stop() {
    if (!this.#busy) return;
    this.#speaker.stop();
    this.#run.cancel();
  }

  #holding(on) {
    $("pause").setAttribute("aria-label", on ? "Go on" : "Pause");
    $("stage").dataset.paused = String(on);
  }

  #pause(on) {
    this.#run.pause(on);
    this.#speaker.pause(on);
    this.#holding(on);
    $("announce").textContent = on ? "Paused." : "Sampling.";
  }

  #start(started) {
    const { model, request } = this.#run;
    const { prefix = null, known = null } = request;
    const view = setStage(model, started, { prefix, known }, {
      onPick: (picked) => this.#onPick({ model, condition: request.condition, ...picked }),
      onPlay: (sound) => this.#toggle(sound),
      onContinue: ({ item, codes }) => this.goOn(codes, `sample ${item + 1}`),
    });
    this.#run.start(started, view);
    const [first] = view.sounds();
    if (first) this.#speaker.play(first);
    const run = this.#run;
    showTrail(request, started, () => this.#run === run);
    $("pause").disabled = false;
    $("announce").textContent = "Sampling.";
  }

  #done(done) {
    const mean = done.items.reduce((sum, item) => sum + item.bits_per_dim, 0) / done.items.length;
    this.#ended(`Done: ${mean.toFixed(3)} bits per dimension.`, done);
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
    if (!run.ended && !run.paused) {
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
    if (Number.isFinite(run.bits)) $("bits").textContent = run.bits.toFixed(3);
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
    const heard = this.#speaker.recording;
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
    const stopping = this.#speaker.recording === sound;
    this.#speaker.stop();
    this.#run.replaying = true;
    this.#run.view.heard(null);
    $("stage").dataset.sound = "idle";
    if (stopping) return;
    this.#speaker.wake(sound.rate);
    this.#speaker.play(sound);
  }
}
