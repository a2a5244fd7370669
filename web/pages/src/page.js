/** What several parts of the page need of the document. */

/** An element that index.html promises. @param {string} id */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no #${id}`);
  return element;
}

/** A colour of the style sheet, as it is at an element. @param {string} name */
export function colour(name, at = document.documentElement) {
  return getComputedStyle(at).getPropertyValue(name).trim();
}

/** Call back when the colours change between light and dark. @param {() => void} changed */
export function onColours(changed) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}

/** Whether the panels lie below the editor, as on a phone. */
export const isNarrow = () => matchMedia("(max-width: 60rem)").matches;

/** Whether the visitor wants nothing to move that need not. */
export const isCalm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
