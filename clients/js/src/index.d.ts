export type Values = Uint8Array | Int16Array | Int32Array | Float32Array;

/** Consecutive sites of one item, in generation order: count × dims values. */
export interface Frame {
  dtype: "uint8" | "int16" | "int32" | "float32";
  last: boolean;
  stream: number;
  item: number;
  count: number;
  firstSite: number;
  dims: number;
  values: Values;
}

export interface Started {
  job?: string;
  model: string;
  kind: "image" | "audio" | "vector" | "sequence";
  shape: number[];
  levels?: number | null;
  dtype: Frame["dtype"];
  dims_per_site: number;
  sites: number;
  sample_rate?: number | null;
  order: string;
  permutation?: number[] | null;
  item_orders?: string[];
  permutations?: Record<string, number[]>;
  count: number;
  first_item: number;
  seed: number | string;
  fingerprint: string;
  notes?: string[];
}

export interface ItemScore {
  item: number;
  log_prob: number;
  sampled_log_prob: number;
  bits_per_dim: number;
  dimensions: number;
}

export interface Done {
  items: ItemScore[];
  seconds: number;
  sites: number;
  sites_per_second: number;
}

export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  instance?: string;
  request_id?: string;
  errors?: { field: string; message: string }[];
}

/** The score of one item, in nats; `error` where it has none. */
export interface Score {
  index: number;
  log_prob?: number | null;
  bits_per_dim?: number | null;
  dimensions?: number | null;
  percentile?: number | null;
  reference_n?: number | null;
  marginalised?: boolean | null;
  per_dim?: unknown[];
  heat_map?: string;
  fit?: string[];
  error?: Problem;
}

/** The representation of one item; `error` where it has none. */
export interface Embedding {
  index: number;
  embedding?: number[];
  fit?: string[];
  error?: Problem;
}

export interface Model {
  name: string;
  version: number;
  state: "unloaded" | "on_demand" | "loading" | "ready" | "leaving" | "failed";
  /** Whether a worker is there that may load it. */
  loadable: boolean;
  family: string;
  kind: Started["kind"];
  shape: number[];
  levels: number | null;
  palette: [number, number, number][] | null;
  sample_rate: number | null;
  sites: number | null;
  conditions: Record<string, unknown>[];
  [more: string]: unknown;
}

export interface Workers {
  workers: {
    worker: string;
    steps: number;
    slots_total: number;
    slots_in_use: number;
    models: Record<string, { state: string; slots_total: number; slots_in_use: number; [more: string]: unknown }>;
  }[];
  /** Jobs that wait, by NAME/VERSION. */
  waiting: Record<string, number>;
}

export interface Samples {
  job: string;
  model: string;
  seed: number | string;
  first_item: number;
  fingerprint: string;
  seconds: number;
  sites_per_second: number;
  notes: string[];
  items: (ItemScore & { data: unknown[]; text?: string })[];
}

export interface Job {
  id: string;
  model: string;
  state: "queued" | "running" | "done" | "failed" | "canceled";
  [more: string]: unknown;
}

interface Queued {
  priority?: 1 | 2 | 3;
  timeout_seconds?: number;
  /** By name: a label, numbers, a Blob of a WAV or NPY file, or a list with one of these for each item. */
  condition?: Record<string, unknown>;
  signal?: AbortSignal;
}

export interface SampleOptions extends Queued {
  count?: number;
  seed?: number | bigint | string;
  first_item?: number;
  /** Resample a condition's recordings to what the model takes; `notes` say so. */
  fit?: boolean;
  temperature?: number;
  top_k?: number;
  top_p?: number;
  prefix?: unknown[] | string;
  known?: unknown[];
  order?: string;
  sites?: number;
  seconds?: number;
}

export interface StreamOptions extends SampleOptions {
  format?: "codes" | "pcm16";
  /** Whether `progress` of the stream is to be told. */
  progress?: boolean;
}

interface ItemOptions extends Queued {
  fit?: boolean;
  batchSize?: number;
  concurrency?: number;
}

export interface EmbedOptions extends ItemOptions {
  /** The hidden state after that many layers; half of them if absent. */
  layer?: number;
}

export interface ScoreOptions extends ItemOptions {
  return?: ("log_prob" | "bits_per_dim" | "percentile" | "per_dim" | "heat_map" | "data")[];
  marginal?: boolean;
  order?: string;
}

export type Item = unknown[] | Values | string | Blob;

export interface BatchLine {
  custom_id: string;
  url: "/log_prob" | "/embed" | "/sample";
  body: Record<string, unknown>;
}

export interface ClientOptions {
  patience?: number;
  apiKey?: string | null;
  fetch?: typeof fetch;
  WebSocket?: typeof WebSocket | null;
  onWait?: (error: Error) => void;
}

export class Client {
  constructor(url?: string, options?: ClientOptions);
  readonly url: string;
  apiKey: string | null;
  onWait: (error: Error) => void;
  models(): Promise<Model[]>;
  model(name: string): Promise<Model>;
  load(name: string): Promise<Model>;
  unload(name: string): Promise<Model>;
  token(): Promise<string | null>;
  ready(): Promise<{ status: string; reasons: string[] }>;
  workers(): Promise<Workers>;
  metrics(): Promise<string>;
  logProb(model: string, inputs: Iterable<Item> | AsyncIterable<Item>, options?: ScoreOptions): Promise<Score[]>;
  scores(model: string, inputs: Iterable<Item> | AsyncIterable<Item>, options?: ScoreOptions): AsyncGenerator<Score>;
  embed(model: string, inputs: Iterable<Item> | AsyncIterable<Item>, options?: EmbedOptions): Promise<Embedding[]>;
  sample(model: string, options?: SampleOptions): Promise<Samples>;
  stream(model: string, options?: StreamOptions): Stream;
  submit(model: string, options?: SampleOptions): Promise<string>;
  job(id: string): Promise<Job>;
  wait(id: string, options?: { signal?: AbortSignal }): Promise<Job>;
  result(id: string): Promise<Samples | { results: Score[] | Embedding[] }>;
  download(id: string, mediaType: string): Promise<Blob>;
  cancel(id: string): Promise<Job>;
  batch(
    lines: BatchLine[],
    options?: { key?: string; signal?: AbortSignal },
  ): AsyncGenerator<{ custom_id: string; response: { status_code: number; body: unknown } }>;
}

export class Stream implements AsyncIterable<Frame> {
  readonly job: string;
  readonly started: Started | null;
  readonly done: Done | null;
  readonly connections: number;
  readonly progress: ({ sites: number; log_prob: number } | undefined)[];
  readonly paused: boolean;
  pause(): void;
  resume(): void;
  [Symbol.asyncIterator](): AsyncGenerator<Frame>;
}

export class AncestralError extends Error {}
export class Unreachable extends AncestralError {}
export class JobCanceled extends AncestralError {}
export class FrameError extends Error {}

export class ProblemError extends AncestralError {
  readonly document: Problem;
  readonly retryAfter: number | null;
  readonly status: number;
  readonly errors: { field: string; message: string }[];
  readonly requestId: string | null;
}

export class Backoff {
  constructor(patience: number, clock?: { now?: () => number; random?: () => number });
  rest(): void;
  pause(retryAfter?: number | null): number | null;
}

export class Ledger {
  constructor(started: Started);
  readonly next: number[];
  readonly arrived: number;
  readonly complete: boolean;
  book(frame: Frame): void;
}

export const SUBPROTOCOL: "ancestral.v1";
export function decodeFrame(data: ArrayBuffer | Uint8Array): Frame;
export function permutationOf(started: Started, item: number): number[] | null;
