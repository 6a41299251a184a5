/** The key that the server may want: asked for in a dialog, kept for as long as the tab is open. */

import { $ } from "./dom.js";

const KEPT = "ancestral.key";
let asking = null; // the question that is open

export function keptKey() {
  return sessionStorage.getItem(KEPT);
}

/** The key that is typed; null where the dialog is put away. `wrong`: the last one was not taken. */
export function askForKey(wrong) {
  asking ??= new Promise((resolve) => {
    const dialog = $("key-dialog");
    $("key-wrong").hidden = !wrong;
    $("key").value = "";
    dialog.onclose = () => {
      asking = null;
      const key = dialog.returnValue === "use" ? $("key").value.trim() : "";
      if (key) sessionStorage.setItem(KEPT, key);
      resolve(key || null);
    };
    $("key-later").onclick = () => dialog.close();
    dialog.returnValue = "";
    dialog.showModal();
  });
  return asking;
}
