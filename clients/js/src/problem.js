/** Refusals as errors that carry the problem document (RFC 9457), and pauses between tries. */

export class AncestralError extends Error {
  name = "AncestralError";
}

/** The server does not answer: never did, or not for as long as patience lasts. */
export class Unreachable extends AncestralError {
  name = "Unreachable";
}

/** Somebody canceled the job that was waited for. */
export class JobCanceled extends AncestralError {
  name = "JobCanceled";
}

/** A refusal: `document` is the whole problem document, `retryAfter` seconds or null. */
export class ProblemError extends AncestralError {
  name = "ProblemError";

  constructor(document, retryAfter = null) {
    super(`${document.status} ${document.title ?? ""}: ${document.detail ?? ""}`);
    this.document = document;
    this.retryAfter = retryAfter;
  }

  get status() {
    return this.document.status ?? 0;
  }

  get errors() {
    return this.document.errors ?? [];
  }

  get requestId() {
    return this.document.request_id ?? null;
  }

  /** Whether it passes by itself: a full queue, a proxy without its server, a server that drains. */
  get passes() {
    return this.status === 429 || this.status === 502 || (this.status === 503 && this.retryAfter !== null);
  }
}

/** The error for an answer that is no success; a body that is no problem becomes its detail. */
export async function problemOf(response) {
  const text = await response.text();
  let document = { title: response.statusText, detail: text.slice(0, 300) };
  if (response.headers.get("content-type")?.startsWith("application/problem+json")) {
    document = JSON.parse(text);
  }
  const wait = response.headers.get("retry-after");
  const seconds = wait !== null && /^\d+$/.test(wait.trim()) ? Number(wait) : null;
  return new ProblemError({ status: response.status, ...document }, seconds);
}

const FIRST_SECONDS = 0.2;
const LONGEST_SECONDS = 10;

/** Pauses of one try after the other: exponential with full jitter, or what the server asks. */
export class Backoff {
  #patience;
  #failures = 0;
  #since = 0;
  #now;
  #random;

  constructor(patience, { now = () => performance.now() / 1000, random = Math.random } = {}) {
    this.#patience = patience;
    this.#now = now;
    this.#random = random;
  }

  /** It went well: patience starts anew. */
  rest() {
    this.#failures = 0;
  }

  /** Seconds to wait after one more failure; null where patience would not last. */
  pause(retryAfter = null) {
    const now = this.#now();
    if (this.#failures === 0) this.#since = now;
    const most = Math.min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** this.#failures++);
    const wait = retryAfter ?? this.#random() * most;
    return now + wait - this.#since <= this.#patience ? wait : null;
  }
}

export const sleep = (seconds, signal) =>
  new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const timer = setTimeout(done, 1000 * seconds);
    function done() {
      signal?.removeEventListener("abort", stop);
      resolve();
    }
    function stop() {
      clearTimeout(timer);
      reject(signal.reason);
    }
    signal?.addEventListener("abort", stop, { once: true });
  });
