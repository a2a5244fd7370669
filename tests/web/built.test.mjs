// When a build is left out: nothing that it reads has changed, and what it made lies there whole.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { inputs, state, unlessBuilt } from "../../.dev/built.mjs";

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

test("a build that was stopped, failed or overtaken by a change does not count as done", async () => {
  const { folder, write } = sources();
  const made = join(folder, "web", "dist");
  const stamps = new Map();
  const remembered = {
    fresh: (name, key) => stamps.get(name) === key,
    stamp: (name, key) => stamps.set(name, key),
  };
  let times = 0;
  const attempt = (build) => unlessBuilt({}, build, { sources: folder, made, remembered });
  const whole = (build) =>
    attempt(() => {
      times += 1;
      write("web/dist/page.js", "made");
      return build?.();
    });
  await whole();
  await whole();
  assert.equal(times, 1, "the second one had nothing to do");
  write("py/a.py", "2");
  void attempt(() => new Promise(() => {})); // as one that is killed: what it made last lies there
  await whole();
  assert.equal(times, 2, "one that never ended");
  write("py/a.py", "3");
  await assert.rejects(
    attempt(() => Promise.reject(new Error("no room"))),
    /no room/,
  );
  write("py/a.py", "2"); // what lies there was made of this, but may be half of what the failed one made
  await whole(() => write("py/a.py", "4"));
  assert.equal(times, 3, "one that failed");
  await whole();
  assert.equal(times, 4, "a source that changed while it was built");
  await whole();
  assert.equal(times, 4);
  rmSync(folder, { recursive: true });
});
