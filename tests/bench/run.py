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
    "tiny": (("eager", "jit", "jit20"), 2, 6),
    "record": (("eager",), 3, 8),
    "mlp": (("eager", "jit"), 3, 6),
    "cnn": (("eager", "jit"), 1, 4),
    "gpt": (("eager", "jit"), 1, 4),
    "hvp": (("eager", "jit"), 3, 8),
}
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


def summary(xs):
    return (
        None
        if not xs
        else {
            "median": round(statistics.median(xs), 3),
            "min": round(min(xs), 3),
            "max": round(max(xs), 3),
            "n": len(xs),
        }
    )


def relerr(a, b):
    return abs(a - b) / max(1.0, abs(b)) if a is not None and math.isfinite(a) else float("inf")


class Run:
    def __init__(self, args):
        self.a, self.data, self.cold_page, self.info = args, {}, {}, {}
        self.expected = json.load(open(os.path.join(HERE, "expected.json")))
        self.t0, self.load = time.time(), []

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

    def round(self, pw, r, names, contenders, port):
        a, pages, browsers = self.a, {}, []
        self.load.append(round(os.getloadavg()[0], 2))
        order = names[r % len(names) :] + names[: r % len(names)]
        for n in order:
            b = pw.chromium.launch(
                executable_path=a.chromium,
                headless=True,
                args=CHROMIUM_ARGS + ([f"--use-webgpu-adapter={a.adapter}"] if a.adapter else []),
            )
            browsers.append(b)
            page = b.new_page()
            page.set_default_timeout(a.timeout * 1000)
            page.on("pageerror", lambda e, n=n: self.log(n, "pageerror", str(e)[:300]))
            page.on(
                "console", lambda m, n=n: m.type == "error" and self.log(n, "console", m.text[:300])
            )
            t = time.time()
            page.goto(f"http://127.0.0.1:{port}{contenders[n]['page']}")
            page.wait_for_function("globalThis.bench !== undefined", timeout=a.timeout * 1000)
            info = page.evaluate("bench.info")
            self.cold_page.setdefault(n, []).append(
                {**info, "wall": round((time.time() - t) * 1000, 1)}
            )
            pages[n] = page
        for wid in a.only:
            modes, warm, per_turn = WORK[wid]
            modes = [m for m in modes if m in a.modes]
            turns = [(n, m) for m in modes for n in order if not self.rec(n, wid, m).get("dead")]
            alive, done = [], {}
            for n, m in turns:
                rec = self.rec(n, wid, m)
                f = pages[n].evaluate("([w, m, k]) => bench.first(w, m, k)", [wid, m, warm])
                if "unsupported" in f or "error" in f:
                    kind = "unsupported" if "unsupported" in f else "error"
                    self.fail(rec, n, wid, m, f[kind], kind)
                    if kind == "error":
                        rec["stack"] = f.get("stack")
                        try:
                            pages[n].evaluate("([w, m]) => bench.drop(w, m)", [wid, m])
                        except Exception:
                            pass
                    continue
                rec["cold"].append(f["cold"])
                rec["cold_host"].append(f["coldHost"])
                rec["counts"], rec["cold_counts"] = f["counts"], f["coldCounts"]
                self.check(rec, wid, f["values"])
                done[n, m] = len(f["values"])
                want = self.expected["check"].get(wid)
                if want is not None:
                    rec["checksum_err"] = (
                        relerr(f["check"], want) if abs(want) < 1 else abs(f["check"] / want - 1)
                    )
                alive.append((n, m))
            for half in range(
                2
            ):  # two interleaved turns per round, the second in the opposite order
                for n, m in alive if half == 0 else alive[::-1]:
                    rec = self.rec(n, wid, m)
                    if rec.get("dead"):
                        continue
                    k = max(1, per_turn // 2)
                    res = pages[n].evaluate(
                        "([w, m, k, cap]) => bench.run(w, m, k, cap)", [wid, m, k, a.cap]
                    )
                    if "error" in res:
                        self.fail(rec, n, wid, m, res["error"], "error")
                        continue
                    rec["ms"] += res["ms"]
                    rec["host"] += res["host"]
                    rec.setdefault("rounds", {}).setdefault(r, []).extend(
                        round(x, 2) for x in res["ms"]
                    )
                    self.check(rec, wid, res["values"], done[n, m])
                    done[n, m] += len(res["values"])
            for n, m in alive:
                try:
                    pages[n].evaluate("([w, m]) => bench.drop(w, m)", [wid, m])
                except Exception as e:
                    self.log(n, wid, m, "drop:", str(e)[:200])
            self.log(
                f"round {r + 1} {wid}: "
                + ", ".join(
                    f"{n}/{m} {statistics.median(self.rec(n, wid, m)['rounds'][r]):.1f}"
                    for n, m in alive
                    if r in self.rec(n, wid, m).get("rounds", {})
                )
            )
        for b in browsers:
            b.close()

    def report(self, names, contenders):
        out = {
            "contenders": {n: contenders[n].get("version", n) for n in names},
            "rounds": self.a.rounds,
            "adapter": self.a.adapter,
            "load_at_round_start": self.load,
            "page_start_ms": {},
            "workloads": {},
            "failures": [],
            "ratios": {},
        }
        for n in names:
            out["page_start_ms"][n] = {
                k: summary(
                    [p[k] for p in self.cold_page.get(n, []) if isinstance(p.get(k), (int, float))]
                )
                for k in ("tImport", "tDevice", "tFirst", "wall")
            }
        for wid, modes in self.data.items():
            for mode, recs in modes.items():
                for n, rec in recs.items():
                    for kind in ("error", "unsupported"):
                        if kind in rec:
                            out["failures"].append(
                                {"contender": n, "workload": wid, "mode": mode, kind: rec[kind]}
                            )
                    if rec["ms"]:
                        e = {
                            "ms": summary(rec["ms"]),
                            "host_ms": summary(rec["host"])["median"],
                            "cold_ms": summary(rec["cold"])["median"],
                            "counts": rec.get("counts"),
                            "samples_by_round": list(rec["rounds"].values()),
                            "cold_counts": rec.get("cold_counts"),
                            "max_rel_err": float(f"{rec['err']:.3g}"),
                            "values_checked": rec["checked"],
                        }
                        if "checksum_err" in rec:
                            e["checksum_rel_err"] = float(f"{rec['checksum_err']:.3g}")
                        e["correct"] = (
                            rec["err"] < self.a.tol and rec.get("checksum_err", 0) < self.a.tol
                        )
                        if not e["correct"]:
                            wrong = "checksum"
                            if "worst" in rec:
                                read, expected, unit = rec["worst"]
                                wrong = f"read {read:.7g}, expected {expected:.7g} (unit {unit})"
                            out["failures"].append(
                                {
                                    "contender": n,
                                    "workload": wid,
                                    "mode": mode,
                                    "wrong_value": wrong,
                                }
                            )
                        out["workloads"].setdefault(wid, {}).setdefault(mode, {})[n] = e
        base = names[0]
        for wid, modes in out["workloads"].items():
            best = {}
            for mode, recs in modes.items():
                for n, e in recs.items():
                    if n not in best or e["ms"]["median"] < best[n][1]:
                        best[n] = (mode, e["ms"]["median"])
            row = {}
            for n in names[1:]:
                if n in best and base in best:
                    row[f"{n}/{base} best"] = round(best[n][1] / best[base][1], 3)
                    row[f"{n} best mode"] = best[n][0]
                for mode, recs in modes.items():
                    if n in recs and base in recs:
                        row[f"{n}/{base} {mode}"] = round(
                            recs[n]["ms"]["median"] / recs[base]["ms"]["median"], 3
                        )
            out["ratios"][wid] = row
        out["wall_s"] = round(time.time() - self.t0, 1)
        return out


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument(
        "--contenders",
        default="",
        help="comma list, the first is the base of the ratios; default: all of contenders.json",
    )
    p.add_argument("--only", default="", help="comma list of workloads")
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
    contenders = json.load(open(os.path.join(HERE, "contenders.json")))
    names = [n for n in a.contenders.split(",") if n] or list(contenders)
    a.modes = a.modes.split(",")
    a.only = [w for w in a.only.split(",") if w] or list(WORK)
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
    out = run.report(names, contenders)
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
