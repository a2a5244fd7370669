/** The head of a program: what may stand before its first statement. */

/** Where the first statement of a program begins, after its docstring and imports from the future. @param {string} text */
export function afterHead(text) {
  const blank = /(?:[ \t]*(?:#.*)?\n)*/y;
  const docstring = /[rR]?(?:"""[\s\S]*?"""|'''[\s\S]*?'''|"[^"\n]*"|'[^'\n]*')[ \t]*(?:#.*)?\n/y;
  const future = /from __future__ import .*\n/y;
  let at = 0;
  for (const part of [blank, docstring, blank, future, blank]) {
    part.lastIndex = at;
    if (part.test(text)) at = part.lastIndex;
  }
  return at;
}
