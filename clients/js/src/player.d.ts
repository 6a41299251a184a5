import type { Stream } from "./index.js";

export const LEAD_SECONDS: number;

export interface PlayerOptions {
  lead?: number;
  context?: AudioContext;
}

export class Player {
  static open(rate: number, options?: PlayerOptions): Promise<Player>;
  readonly ended: Promise<{ gaps: number }>;
  push(samples: Float32Array | Int16Array): void;
  finish(): void;
  close(): Promise<void>;
}

export function play(stream: Stream, options?: PlayerOptions): Promise<{ gaps: number }>;
