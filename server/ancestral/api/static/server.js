/** The server beside the page, as the JavaScript client asks it. */

import { Client } from "./client/index.js";

export const client = new Client(new URL(".", document.baseURI).href);
