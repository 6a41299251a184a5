/** The page: a rail of models, a panel that samples, a panel that scores. */

import { Fleet } from "./fleet.js";
import { Gallery } from "./gallery.js";
import { Rail } from "./models.js";
import { Sampler } from "./sampler.js";
import { Scorer } from "./scorer.js";

const scorer = new Scorer((codes, what) => sampler.goOn(codes, what));
const gallery = new Gallery();
const sampler = new Sampler(
  (picked) => scorer.scoreSample(picked),
  (busy) => {
    gallery.hold(busy);
    if (!busy && rail.stale) rail.refresh(); // a model that was loaded for it
  },
);
const rail = new Rail(gallery, (model, anew, options, given) => {
  sampler.choose(model, anew, options, given);
  scorer.choose(model, anew);
});
rail.refresh();
new Fleet();
