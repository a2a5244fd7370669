/** Python in a worker: the first message starts it, each later one is a call. */

import { start } from "./python.js";

/** @type {((call: import("./python.js").Call) => Promise<void>) | undefined} */
let call;

addEventListener("message", async ({ data }) => {
  if (call) {
    await call(data);
    return;
  }
  try {
    call = await start(data, postMessage);
    postMessage({ id: 0, kind: "ready", text: "" });
  } catch (error) {
    postMessage({ id: 0, kind: "broken", text: String(error) });
  }
});
