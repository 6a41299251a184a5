import type { Done, Frame, Model, Started, Stream } from "./index.js";

export class Painter {
  constructor(
    canvas: HTMLCanvasElement | OffscreenCanvas,
    model: Pick<Model, "levels" | "palette">,
    started: Started,
    item?: number,
  );
  paint(frame: Frame): void;
}

export function paint(stream: Stream, canvases: HTMLCanvasElement[], model: Model): Promise<Done>;
