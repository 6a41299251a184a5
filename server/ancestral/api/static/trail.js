/** The line under a sample: how to make it again. */

import { LONGEST, addressOf } from "./address.js";
import { $, figure, make } from "./dom.js";
import { client } from "./server.js";
import { save } from "./strip.js";

function button(text, act) {
  const made = make("button", { type: "button", className: "plain" }, text);
  made.addEventListener("click", act);
  return made;
}

/**
 * Tells of a request that has started: {seed, fingerprint, notes}. It goes into the address, unless it
 * is too long for that. `current()`: whether it is still the one that is shown.
 */
export async function showTrail(request, { seed, fingerprint, notes = [] }, current) {
  const again = button(`Keep seed ${seed}`, () => {
    $("seed").value = seed;
  });
  const told = make("span", {}, [fingerprint, ...notes].filter(Boolean).join(" · "));
  $("trail").replaceChildren(again, told);
  const address = await addressOf(request, seed);
  if (!current()) return;
  if (address.length <= LONGEST) again.after(linkTo(address));
  else again.after(...saved({ ...request, seed: String(seed) }, address.length));
}

function linkTo(address) {
  history.replaceState(null, "", address);
  const link = button("Copy link", async () => {
    const { href } = new URL(address, location.href);
    // without TLS, and under another name than localhost, browsers have no clipboard
    const copied = await navigator.clipboard?.writeText(href).then(() => true, () => false);
    link.textContent = copied ? "Copied" : "It is in the address bar";
  });
  return link;
}

/** What stands in for a link that is too long: the request as a file, and how to send it. */
function saved(request, length) {
  history.replaceState(null, "", `#${encodeURIComponent(request.model)}`);
  const name = `${request.model.replaceAll("/", "-")}.json`;
  const download = button("Save request", () => {
    save(new Blob([JSON.stringify(request)], { type: "application/json" }), name);
  });
  const key = client.apiKey === null ? "" : '-H "Authorization: Bearer $ANCESTRAL_KEY" ';
  const why = `No link: with what was given it has ${figure(length)} characters, and browsers keep
    ${figure(LONGEST)}. The saved request gives the same values: `;
  const command = make("code", {}, `curl ${key}--json @${name} ${client.url}/sample`);
  return [download, make("span", { className: "why" }, why, command)];
}
