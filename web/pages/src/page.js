/** What several parts of the page need of the document. */

/** An element that index.html promises. @param {string} id */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no #${id}`);
  return element;
}

/** A colour of the style sheet. @param {string} name */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Call back when the colours change between light and dark. @param {() => void} changed */
export function onColours(changed) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}
