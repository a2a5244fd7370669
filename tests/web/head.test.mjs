// Where the page puts lines of its own into a program: before its first statement, wherever that is.

import assert from "node:assert/strict";
import { test } from "node:test";
import { toScript } from "../../web/pages/src/files.js";
import { withLines } from "../../web/pages/src/head.js";

/** Programs with | where lines may be put. */
const programs = [
  "|x = 1\n",
  "# a\n\n|x = 1\n",
  '"""d"""\n|x = 1\n',
  "'''d\n\"\n'''  # why\n\n|x = 1\n",
  '"d" \'e\' \\\n  "f"\n|x = 1\n',
  '"""a"""\'b\'\nfrom __future__ import annotations\n|x = 1\n',
  '"d\\"e"\n|x = 1\n',
  '"""d\\"""e"""\n|x = 1\n',
  'R"""d"""\n|x = 1\n',
  "from __future__ import (\n    annotations,\n)\n|x = 1\n",
  "from __future__ import (annotations)  # why\n|x = 1\n",
  "from __future__ import annotations, \\\n    division\n|x = 1\n",
  "from __future__ import annotations\n\n# and\nfrom __future__ import division\n|x = 1\n",
  "from __future__ import annotations; from __future__ import division\n|x = 1\n",
  '"""d"""\r\nfrom __future__ import annotations\r\n|x = 1\r\n',
  '|"a".join([])\n',
  '|"a" + "b"\n',
  '|f"{x}"\n',
  "|import sys\nfrom __future__ import annotations\n",
  "|",
  "# only this\n|",
  "|# only this",
];

test("lines come before the first statement", () => {
  for (const marked of programs) {
    const at = marked.indexOf("|");
    const text = marked.replace("|", "");
    const line = text.includes("\r") ? "\r\n" : "\n";
    const expected = `${text.slice(0, at)}put = 1${line}${text.slice(at)}`;
    assert.equal(withLines(text, ["put = 1"]), expected, marked);
  }
});

test("a line is parted where the head ends within it", () => {
  for (const [text, expected] of [
    ['"""d"""; x = 1\n', '"""d"""; \nput = 1\nx = 1\n'],
    [
      "from __future__ import annotations; x = 1\n",
      "from __future__ import annotations; \nput = 1\nx = 1\n",
    ],
    ['"""d"""', '"""d"""\nput = 1\n'],
  ]) {
    assert.equal(withLines(text, ["put = 1"]), expected);
  }
});

test("a long head is read in no time", () => {
  const begin = performance.now();
  for (const text of [
    `"${"\\".repeat(200_000)}`,
    "\\\n".repeat(100_000),
    `'''${"''".repeat(1e5)}`,
  ]) {
    withLines(text, ["put = 1"]);
    withLines(`from __future__ import (${text}`, ["put = 1"]);
  }
  assert.ok(performance.now() - begin < 1000);
});

test("a script says where Python alone would refuse it", () => {
  for (const source of [
    "import asyncio\nawait asyncio.sleep(1)\n",
    "for i in x:\n    print(await i)\n",
    "def f():\n    pass\nasync with a:\n    pass\n",
  ]) {
    assert.match(toScript(source), /^# This program has an await outside of a function/);
    assert.ok(toScript(source).endsWith(source));
  }
  for (const source of [
    "async def f():\n    await g()\nasyncio.run(f())\n",
    "class A:\n    async def f(\n        self,\n    ):\n        await g()\n",
    "x = 1  # await\n",
  ]) {
    assert.equal(toScript(source), source);
  }
});
