// When a build is left out: nothing that it reads has changed, and what it made lies there whole.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { inputs, state } from "../../.dev/built.mjs";

/** A folder with some sources, and what changes one of them. */
function sources() {
  const folder = mkdtempSync(join(tmpdir(), "built-"));
  const write = (name, text) => {
    mkdirSync(join(folder, name, ".."), { recursive: true });
    writeFileSync(join(folder, name), text);
  };
  for (const name of ["py/a.py", "web/pages/b.js", ".dev/c.mjs", "package-lock.json"])
    write(name, "1");
  return { folder, write };
}

test("a change of any source or option is seen, and of nothing else", () => {
  const { folder, write } = sources();
  const before = inputs(folder, { lab: false });
  assert.equal(inputs(folder, { lab: false }), before);
  assert.notEqual(inputs(folder, { lab: true }), before);
  for (const name of [
    "tests/d.py",
    "web/dist/e.js",
    "node_modules/f.js",
    ".git/g",
    "py/__pycache__/h",
  ]) {
    write(name, "new");
  }
  assert.equal(inputs(folder, { lab: false }), before);
  for (const name of [
    "py/a.py",
    "web/pages/b.js",
    ".dev/c.mjs",
    "package-lock.json",
    "py/new.py",
  ]) {
    write(name, "2");
    assert.notEqual(inputs(folder, { lab: false }), before, name);
    if (name === "py/new.py") rmSync(join(folder, name));
    else write(name, "1");
    assert.equal(inputs(folder, { lab: false }), before, name);
  }
  rmSync(folder, { recursive: true });
});

test("what is missing, cut, added or written again below a built folder is seen", () => {
  const { folder, write } = sources();
  const before = state(folder);
  assert.equal(state(folder), before);
  assert.equal(state(join(folder, "none")), "");
  write("py/a.py", "");
  const cut = state(folder);
  write("py/more.py", "");
  const more = state(folder);
  rmSync(join(folder, "py"), { recursive: true });
  const less = state(folder);
  utimesSync(join(folder, "package-lock.json"), 1, 1);
  assert.equal(new Set([before, cut, more, less, state(folder)]).size, 5);
  rmSync(folder, { recursive: true });
});
