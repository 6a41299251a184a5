/** Problem documents (RFC 9457): shown until they are put away. */

import { AncestralError, FrameError, ProblemError, Unreachable } from "./client/index.js";
import { $, make } from "./dom.js";

/** An error of the client's as a problem document; null for any other. */
export function problemOf(error) {
  if (error instanceof ProblemError) return error.document;
  if (error instanceof Unreachable) return { title: "No answer", detail: "The server cannot be reached." };
  if (error instanceof FrameError) return { title: "The stream is broken", detail: error.message };
  if (error instanceof AncestralError) return { title: "Not done", detail: error.message };
  return null;
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

/** Shows an error of the client's; throws any other. */
export function showError(error) {
  const problem = problemOf(error);
  if (problem === null) throw error;
  showProblem(problem);
}

/** Runs `action` and shows what it throws, if that is an error of the client's. */
export async function showingProblems(action) {
  try {
    return await action();
  } catch (error) {
    return showError(error);
  }
}
