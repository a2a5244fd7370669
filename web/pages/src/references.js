/** What drawings refer to inside themselves: as often as a page can bear to draw it. */

const MOST = 100_000; // elements that all references together stand for
const DEEPEST = 500; // references behind one another
const NAMED = /url\(\s*["']?#([^"')\s]*)/g;

/**
 * Take those references out of a tree that stand for too many elements: of eight levels of eight each the last
 * would be drawn sixteen million times.
 * @param {ParentNode} root
 */
export function boundReferences(root) {
  /** @type {Map<string, Element>} */
  const byId = new Map();
  for (const each of root.querySelectorAll("[id]")) if (!byId.has(each.id)) byId.set(each.id, each);
  if (byId.size === 0) return;
  const costs = new Costs(byId);
  let left = MOST;
  for (const each of root.querySelectorAll("*")) {
    for (const name of each.getAttributeNames()) {
      const cost = costs.ofAttribute(each, name, 0);
      if (cost === 0) continue;
      if (cost > left) each.removeAttribute(name);
      else left -= cost;
    }
  }
}

/** How many elements are drawn for one, with all that it refers to; those that refer to themselves cost too much. */
class Costs {
  /** @param {Map<string, Element>} byId */
  constructor(byId) {
    this.byId = byId;
    /** @type {Map<Element, number>} */
    this.known = new Map();
  }

  /** @param {Element} element @param {number} depth @returns {number} */
  of(element, depth) {
    const known = this.known.get(element);
    if (known !== undefined) return known;
    if (depth > DEEPEST) return Number.POSITIVE_INFINITY;
    this.known.set(element, Number.POSITIVE_INFINITY);
    let cost = 1;
    for (const name of element.getAttributeNames()) cost += this.ofAttribute(element, name, depth);
    for (const child of element.children) cost += this.of(child, depth + 1);
    this.known.set(element, cost);
    return cost;
  }

  /** @param {Element} element @param {string} name of an attribute @param {number} depth @returns {number} */
  ofAttribute(element, name, depth) {
    const value = element.getAttribute(name) ?? "";
    const names = [...value.matchAll(NAMED)].map(([, id = ""]) => id);
    if (name === "href" && value.startsWith("#")) names.push(value.slice(1));
    let cost = 0;
    for (const id of names) {
      const target = this.byId.get(id);
      if (target) cost += this.of(target, depth + 1);
    }
    return cost;
  }
}
