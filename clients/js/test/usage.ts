/** What users of the types write; tsc reads it, nobody runs it. */

import { AncestralError, Client, ProblemError, type Done, type Frame, type Score } from "ancestral-client";
import { Painter, paint } from "ancestral-client/painter";
import { Player, play } from "ancestral-client/player";

const client = new Client("http://127.0.0.1:8000", { patience: 10, apiKey: "key", WebSocket: null });

export async function scoring(files: Blob[]): Promise<number[]> {
  const found: Score[] = await client.logProb("model", files, { marginal: true, return: ["log_prob", "per_dim"] });
  for await (const score of client.scores("model/2", [[0, 1], new Uint8Array(2), "text"])) {
    if (score.error) console.log(score.error.title);
    else console.log(score.log_prob?.toFixed(2));
  }
  const [{ embedding }] = await client.embed("model", files, { layer: 2, fit: true });
  console.log(embedding?.length, (await client.wait(await client.submit("model"))).state);
  // @ts-expect-error: there is no such verb
  client.likelihood("model", files);
  return found.map((score) => score.bits_per_dim ?? NaN);
}

export async function sampling(canvas: HTMLCanvasElement): Promise<Done | null> {
  const control = new AbortController();
  const model = await client.model("model");
  const options = { seed: 7n, temperature: 0.9, condition: { label: 3 }, signal: control.signal };
  const stream = client.stream(model.name, { ...options, format: "codes" });
  let painter: Painter | null = null;
  try {
    for await (const frame of stream) {
      const { item, firstSite, values }: Frame = frame;
      console.log(item, firstSite, values.length);
      painter ??= new Painter(canvas, model, stream.started!, 0, { cursor: [0, 128, 255] });
      painter.put(frame);
      painter.show(1 / 60);
    }
  } catch (error) {
    if (error instanceof ProblemError) console.log(error.status, error.errors[0]?.field);
    else if (error instanceof AncestralError) console.log(error.message);
    else throw error;
  }
  // @ts-expect-error: a seed is no list
  await client.sample("model", { seed: [1] });
  await paint(client.stream(model.name), [canvas], model);
  return stream.done;
}

export async function listening(): Promise<number> {
  const { gaps } = await play(client.stream("voice", { format: "pcm16" }), { rate: 8000 });
  const player = await Player.open(8000);
  const sound = player.sound({ total: 800 });
  sound.push(new Float32Array(800));
  sound.finish();
  await sound.begun;
  return gaps + (await sound.ended).gaps;
}
