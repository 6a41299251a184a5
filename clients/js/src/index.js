export { Client } from "./client.js";
export { FrameError, Ledger, SUBPROTOCOL, decodeFrame, permutationOf } from "./frames.js";
export { AncestralError, Backoff, JobCanceled, ProblemError, Unreachable } from "./problem.js";
export { Stream } from "./stream.js";
