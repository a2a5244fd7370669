// The server of `npm start`: two folders under one address.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { serve } from "../../.dev/server.mjs";

test("a folder is served beside another, and its address without a slash leads there", async () => {
  const folder = mkdtempSync(join(tmpdir(), "server-"));
  mkdirSync(join(folder, "page"));
  mkdirSync(join(folder, "docs"));
  writeFileSync(join(folder, "page", "index.html"), "page");
  writeFileSync(join(folder, "docs", "index.html"), "docs");
  const mounts = [
    ["/docs/", join(folder, "docs")],
    ["/", join(folder, "page")],
  ];
  const { url, close } = await serve({ mounts, host: "127.0.0.1" });
  try {
    for (const [path, text] of [
      ["", "page"],
      ["docs/", "docs"],
      ["docs", "docs"],
    ]) {
      const answer = await fetch(url + path);
      assert.equal(await answer.text(), text);
      assert.equal(answer.url, url + (text === "docs" ? "docs/" : ""));
    }
    assert.equal((await fetch(`${url}docs/nothing`)).status, 404);
  } finally {
    close();
    rmSync(folder, { recursive: true });
  }
});

test("a folder that is not there leaves the other as it is", async () => {
  const folder = mkdtempSync(join(tmpdir(), "server-"));
  writeFileSync(join(folder, "index.html"), "page");
  const mounts = [
    ["/docs/", join(folder, "missing")],
    ["/", folder],
  ];
  const { url, close } = await serve({ mounts, host: "127.0.0.1" });
  try {
    assert.equal(await (await fetch(url)).text(), "page");
    assert.equal((await fetch(`${url}docs/`)).status, 404);
  } finally {
    close();
    rmSync(folder, { recursive: true });
  }
});
