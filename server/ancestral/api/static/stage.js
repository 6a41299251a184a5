/** The plate on which samples appear: a grid of pictures, or one lane per sound. */

import { amplitudes, wavFile } from "./codec.js";
import { $, make } from "./dom.js";
import { Sound } from "./audio.js";
import { Picture } from "./painter.js";
import { Trace, scaled } from "./trace.js";

/** Columns of a near-square grid without needless empty places. */
export function columnsFor(count, wide = false) {
  const most = Math.ceil(Math.sqrt(count * (wide ? 2 : 1)));
  for (let columns = most; columns * 2 > most && columns > 1; columns--) {
    if (count % columns === 0) return columns;
  }
  return most;
}

function captioned(element, text) {
  element.querySelector(".caption").textContent = text;
}

/** Position of each rank of an item; null in raster order. An ensemble has one for each item. */
function permutationOf(started, item) {
  const { item_orders: names, permutations } = started;
  return names ? permutations[names[item]] : (started.permutation ?? null);
}

/** Pictures of one job. */
class Pictures {
  constructor(model, started, onPick) {
    this.columns = columnsFor(started.count, model.shape[2] <= model.shape[1]);
    this.tiles = Array.from({ length: started.count }, (_, item) => {
      const canvas = make("canvas", { className: "pixels" });
      const tile = make(
        "button",
        { type: "button", className: "tile", disabled: true },
        canvas,
        make("span", { className: "caption" }),
      );
      const picture = new Picture(canvas, model, permutationOf(started, item));
      tile.addEventListener("click", () => onPick({ codes: picture.nested, item }));
      return { tile, picture, canvas };
    });
    this.element = make("div", { className: "tiles" }, ...this.tiles.map(({ tile }) => tile));
    this.element.style.setProperty("--columns", this.columns);
    const rows = Math.ceil(started.count / this.columns);
    const aspect = (this.columns * model.shape[2]) / (rows * model.shape[1]);
    this.element.style.setProperty("--aspect", aspect);
    this.element.dataset.many = String(started.count > 25);
  }

  put({ item, firstSite, values }) {
    this.tiles[item].picture.put(firstSite, values);
  }

  show(seconds) {
    for (const { picture } of this.tiles) picture.show(seconds);
  }

  finish(scores) {
    this.tiles.forEach(({ tile, picture }, item) => {
      picture.stop();
      if (scores === null) return;
      const bits = scores[item].bits_per_dim.toFixed(3);
      tile.disabled = false;
      tile.title = `${bits} bits/dim: see its surprise`;
      tile.setAttribute("aria-label", `Sample ${item + 1}, ${bits} bits per dimension: score it`);
      captioned(tile, bits);
    });
  }

  sounds() {
    return [];
  }
}

/** Sounds, or other signals along one axis, of one job. */
class Lanes {
  constructor(model, started, { onPick, onPlay }) {
    this.model = model;
    this.sites = started.sites;
    this.orders = Array.from({ length: started.count }, (_, i) => permutationOf(started, i));
    this.table = model.codec ? amplitudes(model.codec) : null;
    this.lanes = Array.from({ length: started.count }, (_, item) => {
      const lane = this.#lane(item);
      lane.play.addEventListener("click", () => onPlay(lane.sound));
      lane.score.addEventListener("click", () => {
        onPick({ codes: Array.from(lane.codes), item, sound: lane.sound });
      });
      return lane;
    });
    this.element = make("div", { className: "lanes" }, ...this.lanes.map(({ row }) => row));
    this.element.dataset.many = String(started.count > 2);
  }

  #lane(item) {
    const audible = this.model.kind === "audio";
    const waves = make("canvas", { className: "waves" });
    const spectra = audible ? make("canvas", { className: "spectra" }) : null;
    const head = make("span", { className: "head", hidden: true });
    const button = (text, label) => {
      return make("button", { type: "button", className: "plain", "aria-label": label }, text);
    };
    const play = button("Play", `Play sample ${item + 1}`);
    const score = button("Score", `Score sample ${item + 1}`);
    const save = make("a", { className: "plain", download: `sample-${item + 1}.wav` }, "WAV");
    for (const action of [play, score, save]) action.hidden = true;
    const plot = make("div", { className: "plot" }, waves, ...(spectra ? [spectra] : []), head);
    const bar = make(
      "div",
      { className: "lane-bar" },
      make("span", { className: "caption" }),
      play,
      score,
      save,
    );
    return {
      row: make("div", { className: "lane" }, plot, bar),
      sound: new Sound(this.sites, this.model.sample_rate ?? 0),
      codes: new Float32Array(this.sites),
      trace: new Trace(waves, spectra),
      changed: false,
      head,
      play,
      score,
      save,
    };
  }

  put({ item, firstSite, values }) {
    const lane = this.lanes[item];
    const order = this.orders[item];
    const samples = scaled(values, this.model.levels, this.table);
    if (order === null) {
      lane.codes.set(values, firstSite);
      lane.sound.append(samples, performance.now() / 1000);
    } else {
      lane.sound.have = this.sites; // values come here and there: the whole line is drawn
      order.slice(firstSite, firstSite + values.length).forEach((position, i) => {
        lane.codes[position] = values[i];
        lane.sound.samples[position] = samples[i];
      });
    }
    lane.changed = true;
  }

  show() {
    for (const lane of this.lanes.filter(({ changed }) => changed)) {
      lane.trace.draw(lane.sound, this.orders[0] !== null);
      lane.changed = false;
    }
  }

  finish(scores) {
    this.lanes.forEach((lane, item) => {
      lane.sound.finish();
      if (lane.sound.have === 0) return;
      lane.trace.draw(lane.sound);
      if (this.model.kind === "audio") {
        lane.save.href = URL.createObjectURL(wavFile(lane.sound.samples, lane.sound.rate));
        lane.play.hidden = lane.save.hidden = false;
      }
      if (scores === null) return;
      lane.score.hidden = false;
      captioned(lane.row, `${scores[item].bits_per_dim.toFixed(3)} bits/dim`);
    });
  }

  sounds() {
    return this.model.kind === "audio" ? this.lanes.map(({ sound }) => sound) : [];
  }

  /** Puts the playhead of `sound` at a sample and names what its button does; null: no sound. */
  heard(sound, sample) {
    for (const lane of this.lanes) {
      lane.head.hidden = lane.sound !== sound;
      lane.play.textContent = lane.sound === sound ? "Stop" : "Play";
      if (lane.sound === sound) {
        lane.head.style.setProperty("--at", `${(100 * sample) / lane.sound.total}%`);
      }
    }
  }
}

/** Clears the plate for a job; the result has put, show, finish and sounds. */
export function setStage(model, started, on) {
  const view =
    model.kind === "image"
      ? new Pictures(model, started, on.onPick)
      : new Lanes(model, started, on);
  $("stage").replaceChildren(view.element);
  return view;
}
