// The texts of docs/ as pages that a browser can read, without Sphinx: for a build without `npm run docs`.

import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Marked } from "marked";
import { at, read } from "./places.mjs";

const README = "README.md"; // for those who build the documentation
const STYLE = `
:root { color-scheme: light dark; --soft: light-dark(#4d5464, #b6bcc9); --edge: light-dark(#dfe2e8, #2a2f3a); --sunken: light-dark(#f4f5f7, #1a1e26); --link: light-dark(#2159d1, #82b1ff); }
body { margin: 0 auto; max-width: 76rem; padding: 0 20px 60px; font: 16px/1.6 system-ui, sans-serif; }
nav { display: flex; flex-wrap: wrap; gap: 0 18px; margin: 0 0 12px; border-bottom: 1px solid var(--edge); font-size: 14px; }
nav a { display: inline-flex; align-items: center; min-height: 44px; color: var(--soft); }
nav a[aria-current] { color: inherit; font-weight: 600; }
main { max-width: 54rem; } a { color: var(--link); } h1 { line-height: 1.25; } h2 { margin-top: 2em; }
pre, code { border-radius: 4px; background: var(--sunken); font: 14px/1.5 ui-monospace, Menlo, Consolas, monospace; }
pre { overflow: auto; padding: 12px 14px; } :not(pre) > code { padding: 1px 4px; overflow-wrap: break-word; }
.table { overflow: auto; } table { border-collapse: collapse; } th, td { padding: 6px 12px 6px 0; border-bottom: 1px solid var(--edge); text-align: left; vertical-align: top; }
img { max-width: 100%; height: auto; border-radius: 6px; background: #fff; }
`;

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const title = (text) => /^# (.+)$/m.exec(text)?.[1] ?? "Documentation";
const anchor = (text) =>
  text
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, "")
    .trim()
    .replaceAll(" ", "-");

/** What the texts have beyond Markdown: links to each other, and wide tables. */
const marked = new Marked({
  renderer: {
    heading({ tokens, depth, text }) {
      const inside = this.parser.parseInline(tokens);
      return `<h${depth} id="${anchor(text)}">${inside}</h${depth}>\n`;
    },
    link({ href, tokens }) {
      const to = /^[a-z]+:/.test(href) ? href : href.replace(/\.md(?=#|$)/, ".html");
      return `<a href="${escaped(to)}">${this.parser.parseInline(tokens)}</a>`;
    },
  },
});

/** The names of the pages, in the order that the index gives them. */
function ordered(texts) {
  const [, listed = ""] = /```\{toctree\}([\s\S]*?)```/.exec(texts.get("index") ?? "") ?? [];
  const names = listed.split("\n").filter((name) => texts.has(name));
  return [
    "index",
    ...names,
    ...[...texts.keys()].filter((name) => ![...names, "index"].includes(name)),
  ];
}

/** The document of a page. */
function page(name, names, texts) {
  const links = names.map((other) => {
    const here = other === name ? ' aria-current="page"' : "";
    const file = other === "index" ? "./" : `${other}.html`;
    const named = other === "index" ? "Overview" : title(texts.get(other) ?? "");
    return `<a href="${file}"${here}>${escaped(named)}</a>`;
  });
  const text = texts.get(name) ?? "";
  const body = marked
    .parse(text.replace(/```\{[\s\S]*?```/g, ""))
    .replaceAll("<table>", '<div class="table"><table>')
    .replaceAll("</table>", "</table></div>");
  const head =
    '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">' +
    '<link rel="icon" href="../favicon.svg" type="image/svg+xml">';
  return `<!doctype html>
<html lang="en"><head>${head}<title>${escaped(title(text))} – tabgrad</title><style>${STYLE}</style></head>
<body><nav aria-label="Documentation"><a href="../">The page</a>${links.join("")}</nav><main>
${body}</main></body></html>
`;
}

/** Write the pages and their pictures into a folder. */
export function writePages(folder) {
  mkdirSync(folder, { recursive: true });
  const files = readdirSync(at("docs"));
  const markdown = files.filter((file) => file.endsWith(".md") && file !== README);
  const texts = new Map(markdown.map((file) => [file.slice(0, -3), read("docs", file)]));
  const names = ordered(texts);
  for (const name of names) writeFileSync(join(folder, `${name}.html`), page(name, names, texts));
  for (const file of files.filter((one) => one.endsWith(".svg"))) {
    copyFileSync(at("docs", file), join(folder, file));
  }
}
