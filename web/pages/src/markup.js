/**
 * HTML and SVG that a program has made, rebuilt from what is known to be harmless. What is rebuilt has no
 * script, no link and no address but that of an image inside itself.
 */

import { boundReferences } from "./references.js";

const SVG = "http://www.w3.org/2000/svg";
const HTML_TAGS = new Set(
  (
    "a abbr article aside b blockquote br caption center code col colgroup dd del details dfn div dl dt em " +
    "figcaption figure footer h1 h2 h3 h4 h5 h6 header hr i img input ins kbd label li main mark meter nav ol p pre " +
    "progress q rp rt ruby s samp section small span strong sub summary sup table tbody td tfoot th thead " +
    "time tr tt u ul var wbr"
  ).split(" "),
);
const SVG_TAGS = new Set(
  (
    "svg g path rect circle ellipse line polyline polygon text tspan textPath defs title desc use symbol " +
    "marker linearGradient radialGradient stop clipPath mask pattern image"
  ).split(" "),
);
const HTML_ATTRIBUTES = new Set(
  (
    "align alt border cellpadding cellspacing class colspan datetime dir height high id lang low max min " +
    "open optimum reversed role rowspan scope span start title valign value width"
  ).split(" "),
);
const SVG_ATTRIBUTES = new Set(
  (
    "class clip-path clip-rule clipPathUnits cx cy d dominant-baseline dx dy fill fill-opacity fill-rule " +
    "font-family font-size font-style font-weight fx fy gradientTransform gradientUnits height id " +
    "letter-spacing marker-end marker-mid marker-start markerHeight markerUnits markerWidth mask maskUnits " +
    "offset opacity orient paint-order patternContentUnits patternTransform patternUnits points " +
    "preserveAspectRatio r refX refY role rotate rx ry shape-rendering spreadMethod stop-color stop-opacity " +
    "stroke stroke-dasharray stroke-dashoffset stroke-linecap stroke-linejoin stroke-miterlimit " +
    "stroke-opacity stroke-width text-anchor text-decoration textLength transform vector-effect version " +
    "viewBox visibility width x x1 x2 y y1 y2"
  ).split(" "),
);
const IMAGE = /^data:image\/(png|jpeg|gif|webp);base64,[\w+/=\s]*$/;
const ELSEWHERE = /url\s*\((?!\s*(?:['"]\s*)?#)|image-set|image\s*\(|src\s*\(|@import|\\|\/\*/i;
const DEEPEST = 200;
const STYLE = /\sstyle\s*=/gi;
const SHEET = "x-style"; // a style sheet that is not parsed as one
const CHOICE = new Set(["checked", "class", "for", "id", "name"]);
const ASIDE = "data-style";

/**
 * Put what is harmless in `markup` into an element of `owner`, in the place of what was there.
 * @param {string} markup @param {Document} owner @param {Element} target
 */
export function rebuild(markup, owner, target) {
  // a style that is parsed would be held against the policy of the page, though nobody sees it there
  const renamed = markup
    .replace(/<[a-z][^<>]*>/gi, (tag) => tag.replace(STYLE, ` ${ASIDE}=`))
    .replace(/<(\/?)style\b/gi, `<$1${SHEET}`);
  const parsed = new DOMParser().parseFromString(renamed, "text/html");
  const kept = owner.createDocumentFragment();
  copy(parsed.body, kept, owner, 0);
  boundReferences(kept);
  target.replaceChildren(kept);
  const sheets = [...parsed.querySelectorAll(SHEET)].map((sheet) => sheet.textContent ?? "");
  dress(owner, sheets.filter((text) => !ELSEWHERE.test(text)).join("\n"));
}

/** Give a document a style sheet, by script as styles of elements. @param {Document} owner @param {string} text */
function dress(owner, text) {
  const inside = /** @type {typeof globalThis | null} */ (
    /** @type {unknown} */ (owner.defaultView)
  );
  if (!inside) return;
  const sheet = new inside.CSSStyleSheet();
  sheet.replaceSync(text);
  owner.adoptedStyleSheets = [sheet];
}

/** @param {Node} from @param {Node} to @param {Document} owner @param {number} depth */
function copy(from, to, owner, depth) {
  for (const node of from.childNodes) {
    if (node.nodeType === Node.TEXT_NODE)
      to.appendChild(owner.createTextNode(node.nodeValue ?? ""));
    else if (node instanceof Element && depth < DEEPEST) {
      const made = element(node, owner);
      if (!made) continue;
      to.appendChild(made);
      copy(node, made, owner, depth + 1);
    }
  }
}

/** @param {Element} node @param {Document} owner @returns {Element | null} */
function element(node, owner) {
  const drawn = node.namespaceURI === SVG;
  const tag = node.localName;
  if (!(drawn ? SVG_TAGS : HTML_TAGS).has(tag)) return null;
  const type = tag === "input" ? (node.getAttribute("type") ?? "").toLowerCase() : "";
  if (tag === "input" && type !== "radio" && type !== "checkbox") return null;
  const made = drawn ? owner.createElementNS(SVG, tag) : owner.createElement(tag);
  for (const { localName, value } of node.attributes) {
    if (isHarmless(tag, localName, value, drawn)) made.setAttribute(localName, value);
  }
  if (type) made.setAttribute("type", type);
  // set by script, so that a policy against styles in the text need not be lifted
  const style = node.getAttribute(ASIDE) ?? node.getAttribute("style");
  if (style && !ELSEWHERE.test(style)) {
    /** @type {HTMLElement | SVGElement} */ (made).style.cssText = style;
  }
  return made;
}

/** @param {string} tag @param {string} name @param {string} value @param {boolean} drawn */
function isHarmless(tag, name, value, drawn) {
  if (name === "href")
    return (tag === "use" && value.startsWith("#")) || isImage(tag, "image", value);
  if (name === "src") return isImage(tag, "img", value);
  if (name.startsWith("aria-")) return true;
  if (tag === "input" || tag === "label") return CHOICE.has(name);
  return (drawn ? SVG_ATTRIBUTES : HTML_ATTRIBUTES).has(name) && !ELSEWHERE.test(value);
}

/** @param {string} tag @param {string} wanted @param {string} value */
const isImage = (tag, wanted, value) => tag === wanted && IMAGE.test(value);
