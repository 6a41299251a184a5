/** Scoring: what is asked of POST /log_prob, and what its answer says in words. */

import { holds } from "./client/player.js";
import { wavFile } from "./codec.js";

const RETURN = ["log_prob", "bits_per_dim", "percentile", "per_dim", "data"];
const BRIEF = RETURN.slice(0, 3);
const AS_THEY_ARE =
  /^(image\/(png|jpeg)|audio\/(wav|wave|x-wav|vnd\.wave|midi|x-midi)|application\/json)$/;
const BY_NAME = { npy: "application/x-npy", mid: "audio/midi", midi: "audio/midi" };
const ANOMALOUS = 1; // percent of held-out items that are less likely
const UNUSUAL = 5;

const ACCEPT = {
  image: "image/*,.npy",
  audio: "audio/*,.npy",
  text: "text/plain,.npy",
  midi: "audio/midi,audio/x-midi,.mid,.midi,.npy",
};

/** What a file chooser for a model's items offers. */
export function accepted({ kind, codec }) {
  return ACCEPT[codec?.kind] ?? ACCEPT[kind] ?? ".npy,application/json";
}

/** A file that neither the server nor this browser reads. */
export class UnreadableFile extends Error {}

/** The options of a scoring request; `brief`: no maps. */
export function scoreOptions(model, { fit = false, condition = null, brief = false } = {}) {
  const options = { return: brief ? BRIEF : RETURN, fit };
  const labels = model.conditions.filter(({ kind }) => kind === "label");
  if (condition !== null) options.condition = condition;
  if (labels.some(({ name }) => condition?.[name] === undefined)) options.marginal = true;
  return options;
}

/** A percentile as a verdict: {level, title, detail}. */
export function verdict(percentile, count) {
  if (percentile === null || percentile === undefined || count === 0) {
    const detail = "This package has no reference scores, so there is nothing to hold it against.";
    return { level: "none", title: "Scored", detail };
  }
  const items = `${count.toLocaleString("en")} held-out items`;
  const share = percentile < 10 || percentile > 99 ? percentile.toFixed(1) : Math.round(percentile);
  const detail =
    percentile === 0
      ? `Less likely than every one of ${items}.`
      : percentile === 100
        ? `More likely than every one of ${items}.`
        : `More likely than ${share} % of ${items}.`;
  if (percentile < ANOMALOUS) return { level: "anomalous", title: "Anomalous", detail };
  if (percentile < UNUSUAL) return { level: "unusual", title: "Unusual", detail };
  return { level: "typical", title: "Typical", detail };
}

function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(new UnreadableFile("The file cannot be read."));
    reader.readAsDataURL(blob);
  });
}

/** PNG of a picture in any format that the browser reads. */
async function repainted(file) {
  const bitmap = await createImageBitmap(file);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

/** Amplitudes of a sound file at `rate`, the mean of its channels. */
async function heard(file, rate) {
  const hold = holds(rate);
  const context = new OfflineAudioContext(1, 1, rate * hold);
  const buffer = await context.decodeAudioData(await file.arrayBuffer());
  const mean = new Float32Array(Math.floor(buffer.length / hold));
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    const samples = buffer.getChannelData(channel);
    mean.forEach((_, i) => {
      mean[i] += samples[i * hold] / buffer.numberOfChannels;
    });
  }
  return mean;
}

/**
 * A file as an input: as it is where the server reads its format, else as the browser decodes it.
 *
 * Returns {data, content_type} and `steps`, what the browser did. Throws UnreadableFile.
 */
export async function asInput(file, model) {
  if (file.type === "text/plain" && model.codec?.kind === "text") {
    return { input: (await file.text()).replaceAll("\r\n", "\n"), steps: [] };
  }
  const type = BY_NAME[file.name.split(".").at(-1).toLowerCase()] ?? file.type;
  if (AS_THEY_ARE.test(type) || type === BY_NAME.npy) {
    return { input: { data: await base64(file), content_type: type }, steps: [] };
  }
  try {
    if (file.type.startsWith("image/")) {
      const input = { data: await base64(await repainted(file)), content_type: "image/png" };
      return { input, steps: [`your browser decoded ${file.type}`] };
    }
    if (file.type.startsWith("audio/") && model.sample_rate) {
      const wav = wavFile(await heard(file, model.sample_rate), model.sample_rate);
      const input = { data: await base64(wav), content_type: "audio/wav" };
      return { input, steps: [`your browser decoded ${file.type} at ${model.sample_rate} Hz`] };
    }
  } catch (error) {
    if (error instanceof UnreadableFile) throw error;
  }
  const kind = file.type || "of an unknown type";
  throw new UnreadableFile(`${file.name} (${kind}) is no picture or sound that can be read here.`);
}
