/** A program as a part of an address, after the #: compressed JSON, in letters that addresses keep. No DOM. */

export const LONGEST_LINK = 32_000; // characters of the fragment: longer addresses are cut on their way
export const LONGEST_SOURCE = 200_000; // characters of a program, however well it is compressed
const MARK = "#program=";
const LONGEST_NAME = 80;
const MOST_SEED = 2 ** 53 - 1;

/** @typedef {{ name: string, source: string, seed: number | null, device: "auto" | "cpu" }} Kept */

/** Thrown for a link that can't be made or read; its message is for the visitor. */
export class LinkError extends Error {}

/** The fragment of an address that holds a program. @param {Kept} program */
export async function toLink({ name, source, seed, device }) {
  const text = JSON.stringify({ v: 1, name, source, seed, device });
  const packed = await through(
    new CompressionStream("deflate-raw"),
    new TextEncoder().encode(text),
  );
  const letters = btoa(Array.from(packed, (byte) => String.fromCharCode(byte)).join(""));
  const link = MARK + letters.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  if (link.length > LONGEST_LINK || source.length > LONGEST_SOURCE) {
    throw new LinkError(
      `The program is too long for a link (${link.length.toLocaleString("en")} characters of at most ${LONGEST_LINK.toLocaleString("en")}): save it as a file instead.`,
    );
  }
  return link;
}

/** Whether a fragment says that it holds a program. @param {string} fragment */
export const isLink = (fragment) => fragment.startsWith(MARK);

/** The program in a fragment; raises LinkError where there is no whole one. @param {string} fragment @returns {Promise<Kept>} */
export async function fromLink(fragment) {
  const letters = fragment.slice(MARK.length);
  if (fragment.length > LONGEST_LINK)
    throw new LinkError("The link is too long to hold a program.");
  try {
    const packed = atob(letters.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
    const most = 4 * LONGEST_SOURCE;
    const text = await through(new DecompressionStream("deflate-raw"), bytes, most);
    const kept = checked(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(text)));
    if (kept) return kept;
  } catch (error) {
    console.info(`The link could not be read: ${error}`);
  }
  throw new LinkError("The link holds no whole program: it was cut, or made by something else.");
}

/** A program in a form that anyone may have made; null if it is none. @param {any} told @returns {Kept | null} */
export function checked(told) {
  const { name, source, seed = null, device = "auto" } = told ?? {};
  if (typeof name !== "string" || typeof source !== "string") return null;
  if (source.length > LONGEST_SOURCE || (device !== "auto" && device !== "cpu")) return null;
  if (seed !== null && !(Number.isInteger(seed) && seed >= 0 && seed <= MOST_SEED)) return null;
  return { name: fileName(name), source, seed, device };
}

/** A name that is one of a Python file, and of no folder. @param {string} name */
export function fileName(name) {
  const stem = name.replace(/\.(py|ipynb)$/, "").replace(/[^\p{L}\p{N}_ -]/gu, "");
  return `${stem.trim().slice(0, LONGEST_NAME) || "program"}.py`;
}

/**
 * All that comes of sending bytes through a stream, and no more than `most` of it.
 * @param {CompressionStream | DecompressionStream} stream @param {Uint8Array<ArrayBuffer>} bytes
 */
async function through(stream, bytes, most = Number.POSITIVE_INFINITY) {
  const writer = stream.writable.getWriter();
  // what is wrong with the bytes is told by the reader
  writer.write(bytes).catch(() => {});
  writer.close().catch(() => {});
  const parts = [];
  let length = 0;
  for (const reader = stream.readable.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.length;
    if (length > most) {
      await reader.cancel();
      throw new LinkError("too much");
    }
    parts.push(value);
  }
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
