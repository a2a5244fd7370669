/** The menu of the program: its name, its seed and device, a link to it, and files to keep. */

import { complete, save, toNotebook, toScript } from "./files.js";
import { LinkError, toLink } from "./link.js";
import { byId } from "./page.js";

/** @typedef {import("./shelf.js").Shelf} Shelf */

export class Menu {
  /** @param {Shelf} shelf @param {() => void} changed when a setting was */
  constructor(shelf, changed) {
    this.shelf = shelf;
    this.box = /** @type {HTMLDetailsElement} */ (byId("menu"));
    this.name = /** @type {HTMLInputElement} */ (byId("file-name"));
    this.seed = /** @type {HTMLInputElement} */ (byId("seed"));
    this.device = /** @type {HTMLSelectElement} */ (byId("device-choice"));
    this.link = /** @type {HTMLInputElement} */ (byId("link"));
    this.told = byId("menu-told");
    const change = () => {
      this.take();
      changed();
    };
    for (const field of [this.name, this.seed, this.device])
      field.addEventListener("change", change);
    byId("copy-link").addEventListener("click", () => this.copy());
    byId("save-script").addEventListener("click", () => {
      save(shelf.current.name, toScript(complete(shelf.current)), "text/x-python");
    });
    byId("save-notebook").addEventListener("click", () => {
      const { current } = shelf;
      const notebook = toNotebook(complete(current));
      save(current.name.replace(/py$/, "ipynb"), notebook, "application/x-ipynb+json");
    });
    // a click comes before the first key; "toggle" may come after it, and undo what it wrote
    this.box.querySelector("summary")?.addEventListener("click", () => this.show());
    this.box.addEventListener("keydown", ({ key }) => {
      if (key === "Escape") this.close();
    });
    document.addEventListener("pointerdown", ({ target }) => {
      if (target instanceof Node && !this.box.contains(target)) this.box.open = false;
    });
  }

  close() {
    this.box.open = false;
    this.box.querySelector("summary")?.focus();
  }

  /** Show the settings of the program that is shown. */
  show() {
    const { name, seed, device } = this.shelf.current;
    this.name.value = name;
    this.seed.value = seed === null ? "" : String(seed);
    this.device.value = device;
    this.link.hidden = true;
    this.told.textContent = "";
  }

  /** Take over what the visitor has set. */
  take() {
    const seed = this.seed.value.trim() === "" ? null : Number(this.seed.value);
    const taken = seed === null || (Number.isSafeInteger(seed) && seed >= 0);
    const device = this.device.value === "cpu" ? "cpu" : "auto";
    this.shelf.change({ name: this.name.value, device, ...(taken && { seed }) });
    this.show();
    if (!taken) this.told.textContent = "A seed is a whole number from 0.";
  }

  /** Make a link to the program, and put it where it can be pasted from. */
  async copy() {
    try {
      const url = new URL(await toLink(this.shelf.current), location.href);
      this.link.value = url.href;
      this.link.hidden = false;
      this.link.select();
      await navigator.clipboard.writeText(url.href);
      this.told.textContent = "Copied. Who opens it sees the program, and runs it if they want.";
    } catch (error) {
      const own = error instanceof LinkError;
      this.told.textContent = own ? error.message : "Copy this link:";
    }
  }
}
