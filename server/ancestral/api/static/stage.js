/** The plate on which samples appear: what they are says how. */

import { $ } from "./dom.js";
import { Lanes } from "./lanes.js";
import { Pictures } from "./pictures.js";
import { Rolls } from "./rolls.js";
import { Rows } from "./rows.js";
import { Verses } from "./verses.js";

const VIEWS = { image: Pictures, audio: Lanes, vector: Rows, sequence: Verses, midi: Rolls };

/**
 * Clears the plate for a job. `given`: {prefix, known}, what the request gave of every item, null where nothing.
 * `on`: onPick({item, codes}), onPlay(sound), onContinue({item, codes}).
 *
 * The view has put(frame), show(seconds), finish(scores or null), sounds(), heard(sound, sample).
 */
export function setStage(model, started, given, on) {
  const View = VIEWS[model.codec?.kind] ?? VIEWS[model.kind];
  const view = new View(model, started, on, given);
  $("stage").replaceChildren(view.element);
  return view;
}
