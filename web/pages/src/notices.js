/** Banners over the page, which the visitor can close. */

import { byId } from "./page.js";

const KEY = "tabgrad.closed";
/** @type {Set<string>} those closed on this visit */
const closed = new Set();
try {
  // which device there is need not be said again at the next visit
  closed.add(localStorage.getItem(KEY) ?? "");
} catch {
  // nothing is kept here
}

/** Say something above the page, in the place of what was said there; "" says nothing. @param {"notice" | "shared" | "lost"} id @param {string} text */
export function say(id, text) {
  byId(`${id}-text`).textContent = text;
  byId(id).hidden = text === "" || closed.has(text);
}

for (const id of ["notice", "shared", "lost"]) {
  byId(`${id}-close`).addEventListener("click", () => {
    const text = byId(`${id}-text`).textContent ?? "";
    closed.add(text);
    try {
      if (id === "notice") localStorage.setItem(KEY, text);
    } catch {
      // it comes back at the next visit
    }
    byId(id).hidden = true;
  });
}
