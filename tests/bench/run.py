#!/usr/bin/env python3
"""Browser benchmark: every contender's page in headless Chromium, interleaved over rounds.

    python run.py                                    # everything, 3 rounds, table + results.json
    python run.py --only mlp,gpt --rounds 1          # some workloads
    python run.py --mount /dist/=/path/to/our/build  # serve one more folder (for a third contender)

See README.md for what the workloads are and what one timed unit includes.
"""

import argparse
import http.server
import json
import math
import os
import posixpath
import statistics
import sys
import threading
import time
import urllib.parse
from typing import ClassVar

import processor
import report
import tables
from playwright.sync_api import sync_playwright

HERE = os.path.dirname(os.path.abspath(__file__))
# id: (modes, untimed warm-up units, timed units per turn); a turn is one contender's go in one round
WORK = {
    "roundtrip": (("eager", "jit"), 5, 10),
    "matmul256": (("eager", "jit"), 2, 6),
    "matmul512": (("eager", "jit"), 1, 4),
    "matmul1024": (("eager", "jit"), 0, 2),
    "chain": (("eager", "jit"), 1, 4),
    "softmax": (("eager", "jit"), 1, 4),
    "fft1024": (("eager", "jit"), 1, 4),
    "fft262144": (("eager", "jit"), 1, 4),
    "cholesky256": (("eager", "jit"), 1, 4),
    "cholesky32": (("eager", "jit"), 1, 4),
    "lu256": (("eager", "jit"), 1, 4),
    "lu32": (("eager", "jit"), 1, 4),
    "qr256": (("eager", "jit"), 1, 4),
    "qr32": (("eager", "jit"), 1, 4),
    "eigh256": (("eager", "jit"), 1, 4),
    "eigh32": (("eager", "jit"), 1, 4),
    "svd256": (("eager", "jit"), 1, 4),
    "svd32": (("eager", "jit"), 1, 4),
    "tiny": (("eager", "jit", "jit20"), 2, 6),
    "record": (("eager",), 3, 8),
    "mlp": (("eager", "jit"), 3, 6),
    "cnn": (("eager", "jit"), 1, 4),
    "gpt": (("eager", "jit"), 1, 4),
    "hvp": (("eager", "jit"), 3, 8),
}
# the long list: `--long` adds it
CASES = json.load(open(os.path.join(HERE, "pages", "cases.json")))
WORK |= {name: (("jit",), 2, 6) for name in CASES}
WORK["reads"] = (("eager",), 2, 6)
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--enable-unsafe-webgpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
]


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    mounts: ClassVar = []
    extensions_map: ClassVar = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
        ".json": "application/json",
        ".whl": "application/zip",
    }

    def translate_path(self, path):
        path = posixpath.normpath(urllib.parse.unquote(path.split("?")[0].split("#")[0]))
        if ".." in path.split("/"):
            return os.devnull
        for prefix, folder in self.mounts:
            if path.startswith(prefix):
                return os.path.join(folder, path[len(prefix) :])
        return os.path.join(HERE, path.lstrip("/"))

    def end_headers(self):  # cross-origin isolation: a 5 us clock, and SharedArrayBuffer
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *a):
        pass


def serve(mounts):
    Handler.mounts = sorted(mounts, key=lambda m: -len(m[0]))
    srv = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=srv.serve_forever, daemon=True).start()
    return srv.server_address[1]


def relerr(a, b):
    return abs(a - b) / max(1.0, abs(b)) if a is not None and math.isfinite(a) else float("inf")


class Run:
    def __init__(self, args):
        self.a, self.data, self.cold_page, self.info = args, {}, {}, {}
        self.expected = json.load(open(os.path.join(HERE, "expected.json")))
        self.t0, self.load = time.time(), []
        self.peaks, self.work, self.roots = {}, {}, {}

    def log(self, *a):
        print(f"[{time.time() - self.t0:6.1f}s]", *a, file=sys.stderr, flush=True)

    def rec(self, name, wid, mode):
        return (
            self.data.setdefault(wid, {})
            .setdefault(mode, {})
            .setdefault(
                name, {"ms": [], "host": [], "cold": [], "cold_host": [], "err": 0.0, "checked": 0}
            )
        )

    def check(self, rec, wid, values, offset=0):
        """values[i] is the i-th unit's read-back since the page was given this workload."""
        exp = self.expected["value"].get(wid)
        if exp is None:
            return
        for i, v in enumerate(values):
            want = (
                exp
                if not isinstance(exp, list)
                else (exp[offset + i] if offset + i < len(exp) else None)
            )
            if want is not None:
                e = relerr(v, want)
                if e > rec["err"]:
                    rec["err"], rec["worst"] = e, (v, want, offset + i)
                rec["checked"] += 1

    def fail(self, rec, name, wid, mode, why, kind):
        rec[kind] = why
        rec["dead"] = True
        self.log(f"{name:7s} {wid}/{mode} {kind}: {why[:160]}")

    def open(self, pw, name, url):
        """Return the browser and the page of a contender, ready to run."""
        a = self.a
        mark = f"--contender={name}-{os.getpid()}-{len(self.load)}"
        browser = pw.chromium.launch(
            executable_path=a.chromium,
            headless=True,
            args=[
                *CHROMIUM_ARGS,
                mark,
                *([f"--use-webgpu-adapter={a.adapter}"] if a.adapter else []),
            ],
        )
        self.roots[name] = processor.root(mark)
        page = browser.new_page()
        page.set_default_timeout(a.timeout * 1000)
        page.on("pageerror", lambda e: self.log(name, "pageerror", str(e)[:300]))
        page.on("console", lambda m: m.type == "error" and self.log(name, "console", m.text[:300]))
        t = time.time()
        page.goto(url)
        page.wait_for_function("globalThis.bench !== undefined", timeout=a.timeout * 1000)
        info = page.evaluate("bench.info")
        wall = round((time.time() - t) * 1000, 1)
        self.cold_page.setdefault(name, []).append({**info, "wall": wall})
        return browser, page

    def first(self, page, name, wid, mode, warm):
        """Run the first, cold unit and the warm-up; return how many units ran, None if it failed."""
        rec = self.rec(name, wid, mode)
        f = page.evaluate("([w, m, k]) => bench.first(w, m, k)", [wid, mode, warm])
        if "unsupported" in f or "error" in f:
            kind = "unsupported" if "unsupported" in f else "error"
            self.fail(rec, name, wid, mode, f[kind], kind)
            if kind == "error":
                rec["stack"] = f.get("stack")
                self.drop(page, name, wid, mode)
            return None
        rec["cold"].append(f["cold"])
        rec["cold_host"].append(f["coldHost"])
        rec["counts"], rec["cold_counts"] = f["counts"], f["coldCounts"]
        self.check(rec, wid, f["values"])
        want = self.expected["check"].get(wid)
        if want is not None:
            small = abs(want) < 1
            rec["checksum_err"] = relerr(f["check"], want) if small else abs(f["check"] / want - 1)
        return len(f["values"])

    def turn(self, page, name, wid, mode, units, r, done):
        """Run and time `units` units after the `done` so far; return how many ran."""
        rec = self.rec(name, wid, mode)
        if rec.get("dead"):
            return 0
        top = self.roots[name]
        before = processor.seconds(top) if top else 0.0
        res = page.evaluate(
            "([w, m, k, cap]) => bench.run(w, m, k, cap)", [wid, mode, units, self.a.cap]
        )
        if "error" in res:
            self.fail(rec, name, wid, mode, res["error"], "error")
            return 0
        rec["ms"] += res["ms"]
        if top and res["ms"]:
            spent = processor.seconds(top) - before
            rec.setdefault("cpu", []).append(1000 * spent / len(res["ms"]))
        rec["host"] += res["host"]
        rec.setdefault("rounds", {}).setdefault(r, []).extend(round(x, 2) for x in res["ms"])
        self.check(rec, wid, res["values"], done)
        return len(res["values"])

    def drop(self, page, name, wid, mode):
        """Release what the page holds for a workload."""
        try:
            page.evaluate("([w, m]) => bench.drop(w, m)", [wid, mode])
        except Exception as e:
            self.log(name, wid, mode, "drop:", str(e)[:200])

    def estimate(self, pages, wid, done):
        """Ask tabgrad's page once for the operations and bytes of a unit."""
        mode = next((m for n, m in reversed(done) if n == "tabgrad"), None)
        if mode is None or wid in self.work:
            return
        try:
            self.work[wid] = pages["tabgrad"].evaluate("([w, m]) => bench.work(w, m)", [wid, mode])
            done["tabgrad", mode] += 1
        except Exception as e:
            self.log(wid, "work:", str(e)[:200])

    def measure_peaks(self, page):
        """Measure the adapter's peaks, and keep the best of all rounds."""
        try:
            found = page.evaluate("bench.roofline()")
        except Exception as e:
            self.log("roofline:", str(e)[:200])
            return
        for key, value in found.items():
            better = max(value, self.peaks.get(key, 0)) if key != "adapter" else value
            self.peaks[key] = better

    def workload(self, pages, r, wid):
        """Run one workload in all modes: the contenders take turns."""
        modes, warm, per_turn = WORK[wid]
        done = {}
        for mode in (m for m in modes if m in self.a.modes):
            for name, page in pages.items():
                if not self.rec(name, wid, mode).get("dead"):
                    count = self.first(page, name, wid, mode, warm)
                    if count is not None:
                        done[name, mode] = count
        self.estimate(pages, wid, done)
        # two interleaved turns a round, the second in the opposite order
        for order in (list(done), list(done)[::-1]):
            for name, mode in order:
                units = max(1, per_turn // 2)
                at = done[name, mode]
                done[name, mode] += self.turn(pages[name], name, wid, mode, units, r, at)
        for name, mode in done:
            self.drop(pages[name], name, wid, mode)
        medians = [
            f"{name}/{mode} {statistics.median(self.rec(name, wid, mode)['rounds'][r]):.1f}"
            for name, mode in done
            if r in self.rec(name, wid, mode).get("rounds", {})
        ]
        self.log(f"round {r + 1} {wid}: {', '.join(medians)}")

    def round(self, pw, r, names, contenders, port):
        """Run every workload once: each contender in a browser of its own."""
        self.load.append(round(os.getloadavg()[0], 2))
        opened = {
            n: self.open(pw, n, f"http://127.0.0.1:{port}{contenders[n]['page']}")
            for n in names[r % len(names) :] + names[: r % len(names)]
        }
        self.measure_peaks(opened[names[0]][1])
        for wid in self.a.only:
            self.workload({n: page for n, (_, page) in opened.items()}, r, wid)
        for browser, _ in opened.values():
            browser.close()


def arguments():
    """Return the command line, with the names it leaves out filled in."""
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument(
        "--contenders",
        default="",
        help="comma list, the first is the base of the ratios; default: all of contenders.json",
    )
    p.add_argument("--only", default="", help="comma list of workloads")
    p.add_argument("--long", action="store_true", help="the workloads of cases.json as well")
    p.add_argument("--modes", default="eager,jit,jit20", help="comma list of modes")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument(
        "--www", default=os.path.join(HERE, "www"), help="the bundled peers; served at /vendor/"
    )
    p.add_argument("--mount", action="append", default=[], help="/prefix/=folder, served as well")
    p.add_argument("--chromium", default=os.environ.get("CHROMIUM", "/usr/bin/chromium"))
    p.add_argument("--adapter", default="swiftshader", help="'' lets Chromium choose (a real GPU)")
    p.add_argument(
        "--cap", type=float, default=3000, help="ms after which a turn starts no further timed unit"
    )
    p.add_argument(
        "--budget",
        type=float,
        default=480,
        help="seconds; a round that would likely end later is not started",
    )
    p.add_argument("--timeout", type=int, default=240, help="seconds one page call may take")
    p.add_argument("--tol", type=float, default=1e-3)
    p.add_argument("--out", default="", help="also write the JSON here")
    p.add_argument("--markdown", default="", help="also write a table for the README here")
    a = p.parse_args()
    a.modes = a.modes.split(",")
    a.only = [w for w in a.only.split(",") if w] or [w for w in WORK if a.long or w not in CASES]
    return a


def main():
    a = arguments()
    contenders = json.load(open(os.path.join(HERE, "contenders.json")))
    names = [n for n in a.contenders.split(",") if n] or list(contenders)
    mounts = [("/vendor/", a.www), ("/dist/", os.path.join(HERE, "../../web/dist"))] + [
        tuple(m.split("=", 1)) for m in a.mount
    ]
    port, run = serve(mounts), Run(a)
    with sync_playwright() as pw:
        for r in range(a.rounds):
            started = time.time()
            run.round(pw, r, names, contenders, port)
            took = time.time() - started
            if r + 1 < a.rounds and time.time() - run.t0 + took > a.budget:
                run.log(f"budget: stopping after {r + 1} of {a.rounds} rounds")
                break
    a.rounds = r + 1
    out = report.report(run, names, contenders)
    if a.out:
        json.dump(out, open(a.out, "w"), indent=1)
    if a.markdown:
        with open(a.markdown, "w") as f:
            f.write(tables.markdown(out))
    print(tables.everything(out))
    return (
        1
        if any(f["contender"] == "tabgrad" and "unsupported" not in f for f in out["failures"])
        else 0
    )


if __name__ == "__main__":
    sys.exit(main())
