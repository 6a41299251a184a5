import type { Done, Frame, Model, Started, Stream } from "./index.js";

export type Colour = [red: number, green: number, blue: number];
type Coloured = Pick<Model, "levels" | "palette">;

export function colouring(model: Partial<Coloured>, dims: number): (values: ArrayLike<number>, at: number) => Colour;

export class Painter {
  constructor(
    canvas: HTMLCanvasElement | OffscreenCanvas,
    model: Coloured,
    started: Started,
    item?: number,
    options?: { cursor?: Colour | null },
  );
  readonly values: Float32Array;
  readonly nested: number[][][];
  readonly settled: boolean;
  paint(frame: Frame): void;
  put(frame: Frame): void;
  show(seconds?: number): void;
  stop(): void;
}

export function paint(stream: Stream, canvases: HTMLCanvasElement[], model: Model): Promise<Done>;
