/** Banners over the page, which the visitor can close. */

import { byId } from "./page.js";

/** @type {Set<string>} those closed on this visit */
const closed = new Set();

/** Say something above the page, in the place of what was said there; "" says nothing. @param {"notice" | "shared" | "lost"} id @param {string} text */
export function say(id, text) {
  byId(`${id}-text`).textContent = text;
  byId(id).hidden = text === "" || closed.has(text);
}

for (const id of ["notice", "shared", "lost"]) {
  byId(`${id}-close`).addEventListener("click", () => {
    closed.add(byId(`${id}-text`).textContent ?? "");
    byId(id).hidden = true;
  });
}
