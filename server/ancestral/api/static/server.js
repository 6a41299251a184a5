/** The server beside the page, as the JavaScript client asks it. */

import { Client } from "./client/index.js";
import { askForKey, keptKey } from "./key.js";

export const client = new Client(new URL(".", document.baseURI).href, { apiKey: keptKey(), fetch: asking });

/** As fetch; where the server wants a key, whoever looks at the page is asked for one. */
async function asking(url, options = {}) {
  for (;;) {
    const sent = client.apiKey;
    const headers = sent === null ? options.headers : { ...options.headers, Authorization: `Bearer ${sent}` };
    const response = await fetch(url, { ...options, headers });
    if (response.status !== 401) return response;
    if (client.apiKey !== sent) continue; // entered in the meantime
    const key = await askForKey(sent !== null);
    if (key === null) return response;
    client.apiKey = key;
  }
}
