import type { Stream } from "./index.js";

export const LEAD_SECONDS: number;
export function holds(rate: number): number;

export interface SoundOptions {
  total?: number | null;
  lead?: number;
}

export class Player {
  static open(rate: number, options?: { context?: AudioContext }): Promise<Player>;
  readonly context: AudioContext;
  readonly rate: number;
  sound(options?: SoundOptions): Sound;
  close(): Promise<void>;
}

export class Sound {
  readonly state: "waiting" | "playing" | "ended";
  readonly at: number;
  readonly wait: number;
  readonly gaps: number;
  readonly begun: Promise<void>;
  readonly ended: Promise<{ gaps: number }>;
  push(samples: Float32Array | Int16Array): void;
  finish(): void;
  pause(): void;
  resume(): void;
  stop(): void;
}

export interface PlayOptions extends SoundOptions {
  rate?: number | null;
  player?: Player | null;
}

export function play(stream: Stream, options?: PlayOptions): Promise<{ gaps: number }>;
