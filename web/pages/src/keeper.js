/** The frame that keeps the worker of the page: its document is text in this script, and named by a hash. */

/// <reference path="./text.d.ts" />
import frameDocument from "text:frame.html";

const EARLY = Symbol.for("tabgrad.early");
if (!Reflect.has(globalThis, EARLY)) Reflect.set(globalThis, EARLY, new Map());

/** @type {import("./sandbox.js").Keeper} */
export const keeper = {
  fill: (frame) => {
    frame.srcdoc = frameDocument;
  },
  python: JSON.parse(document.getElementById("python")?.textContent ?? "{}"),
  early: Reflect.get(globalThis, EARLY),
};
