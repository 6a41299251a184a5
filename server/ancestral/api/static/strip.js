/** The line under an item of the plate: its caption and what can be done with it. */

import { make } from "./dom.js";

/** `actions`: name → [text, what it does, click handler or a function that makes a file's Blob]. */
export class Strip {
  constructor(item, actions) {
    this.caption = make("span", { className: "caption" });
    this.buttons = {};
    for (const [name, [text, label, action]] of Object.entries(actions)) {
      const described = { type: "button", className: "plain", "aria-label": `${label} ${item + 1}` };
      const button = make("button", { ...described, hidden: true }, text);
      button.addEventListener("click", action);
      this.buttons[name] = button;
    }
    this.element = make("div", { className: "lane-bar" }, this.caption, ...Object.values(this.buttons));
  }

  /** Shows the actions of these names. */
  offer(...names) {
    for (const name of names) if (this.buttons[name]) this.buttons[name].hidden = false;
  }
}

/** Has the browser save a Blob under a name. */
export function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
