/** The head of a program: what may stand before its first statement. */

const BLANK = /(?:[ \t]*(?:#.*)?\r?\n)*/y;
const STRING =
  /[rRuU]?(?:"""(?:[^\\]|\\[\s\S])*?"""|'''(?:[^\\]|\\[\s\S])*?'''|"(?:[^"\\\r\n]|\\[\s\S])*"|'(?:[^'\\\r\n]|\\[\s\S])*')/y;
const BETWEEN = /(?:[ \t]|\\\r?\n)*/y; // strings side by side are one
const FUTURE =
  /from[ \t]+__future__[ \t]+import[ \t]*(?:\([^)]*\)|[\w, \t]*(?:\\\r?\n[\w, \t]*)*)/y;
const END = /[ \t]*(?:;[ \t]*)?(?:#.*)?(?:\r?\n|$)/y; // of a line
const NEXT = /[ \t]*;[ \t]*/y; // before another statement of the same line

/**
 * Where the first statement of a program begins, after its docstring and imports from the future; what must
 * stand there before a line that is put in, and how its lines end.
 * @param {string} text @returns {{ at: number, before: string, newline: string }}
 */
export function afterHead(text) {
  const newline = text.includes("\r\n") ? "\r\n" : "\n";
  let at = matched(BLANK, text, 0);
  for (let first = true; ; first = false) {
    const end = (first && docstring(text, at)) || matched(FUTURE, text, at);
    if (end === at) break;
    const ended = matched(END, text, end);
    const next = matched(NEXT, text, end);
    if (ended > end || end === text.length) at = matched(BLANK, text, ended);
    else if (next > end) at = next;
    else break; // a string that is a part of something else
  }
  return { at, before: at > 0 && text[at - 1] !== "\n" ? newline : "", newline };
}

/** A program with lines of its own put behind its head. @param {string} text @param {string[]} lines */
export function withLines(text, lines) {
  const { at, before, newline } = afterHead(text);
  return `${text.slice(0, at)}${before}${lines.join(newline)}${newline}${text.slice(at)}`;
}

/** Where strings side by side end; 0 where there are none. @param {string} text @param {number} from */
function docstring(text, from) {
  let end = 0;
  for (let at = from; ; ) {
    const next = matched(STRING, text, at);
    if (next === at) return end;
    end = next;
    at = matched(BETWEEN, text, end);
  }
}

/** Where a match ends that begins at a place; that place if there is none. @param {RegExp} part @param {string} text @param {number} at */
function matched(part, text, at) {
  part.lastIndex = at;
  return part.test(text) ? part.lastIndex : at;
}
