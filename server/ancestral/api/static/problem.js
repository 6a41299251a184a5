/** Problem documents (RFC 9457): read from answers, shown until they are put away. */

import { $, make } from "./dom.js";

/** A request that the server answered with a problem, or that never reached it. */
export class ProblemError extends Error {
  constructor(problem) {
    super(problem.detail ?? problem.title);
    this.problem = problem;
  }
}

/** JSON of an answer that is well. Throws ProblemError. */
export async function fetchJson(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new ProblemError({ title: "No answer", detail: "The server cannot be reached." });
  }
  const type = response.headers.get("content-type") ?? "";
  const body = /\bjson\b/.test(type) ? await response.json() : null;
  if (response.ok && body !== null) return body;
  throw new ProblemError(body ?? { title: `HTTP ${response.status}`, status: response.status });
}

/** Shows a problem in place of an earlier one. */
export function showProblem({ title, detail, status, errors = [], request_id: request }) {
  const list = errors.filter(({ message }) => !detail?.includes(message));
  const dismiss = make("button", { type: "button", className: "dismiss", "aria-label": "Dismiss" }, "×");
  dismiss.addEventListener("click", clearProblem);
  const box = make(
    "div",
    { className: "problem" },
    make("p", { className: "problem-title" }, [title, status].filter(Boolean).join(" · ")),
    make("p", {}, detail ?? ""),
    make(
      "ul",
      { hidden: list.length === 0 },
      ...list.map(({ field, message }) => make("li", {}, make("code", {}, field), ` ${message}`)),
    ),
    make("p", { className: "request", hidden: !request }, `request ${request}`),
    dismiss,
  );
  $("problems").replaceChildren(box);
}

export function clearProblem() {
  $("problems").replaceChildren();
}

/** Runs `action` and shows what it throws, if that is a problem. */
export async function showingProblems(action) {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error;
    showProblem(error.problem);
    return undefined;
  }
}
