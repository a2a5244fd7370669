#!/usr/bin/env python3
"""From navigation to the first number, beside TensorFlow.js: cold, and with what the browser keeps.

    python start.py --chromium PATH --rounds 5

Both pages are served by the project's own server, compressed. Cold is the first visit with an empty profile;
warm is the third, when the browser has kept files and compiled code.
"""

import argparse
import pathlib
import statistics
import subprocess
import tempfile

from playwright.sync_api import sync_playwright
from run import CHROMIUM_ARGS

ROOT = pathlib.Path(__file__).parents[2]
PAGES = ("tabgrad", "tfjs")
VISITS = ("cold", "second", "warm")
MOUNTS = ("/=web/dist", "/start/=tests/bench/start", "/vendor/=tests/bench/www")
SENT = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .reduce((sum, entry) => sum + entry.transferSize, 0)"""


def visits(playwright, chromium, adapter, url):
    """Open a page three times with one new profile; returns (ms to the first number, bytes sent) of each."""
    adapter_flag = [f"--use-webgpu-adapter={adapter}"] if adapter else []
    with tempfile.TemporaryDirectory() as profile:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=chromium, args=[*CHROMIUM_ARGS, *adapter_flag]
        )
        found = []
        for _ in VISITS:
            page = context.new_page()
            page.goto(url)
            page.wait_for_function("globalThis.first !== undefined", timeout=120_000)
            first = page.evaluate("globalThis.first")
            if first["how"] != "finished":
                raise RuntimeError(f"{url}: the first number did not come: {first['how']}")
            page.wait_for_timeout(1500)  # what is fetched later, and the compiled code is kept
            found.append((first["at"], page.evaluate(SENT)))
            page.close()
        context.close()
    return found


def table(times, sent):
    """Format medians, and their ratios to TensorFlow.js's."""
    lines = [
        f"{'':8}"
        + "".join(f"{f'{page}, ms':>14}{'MB sent':>10}" for page in PAGES)
        + f"{'ratio':>8}"
    ]
    for visit in VISITS:
        middle = [statistics.median(times[page, visit]) for page in PAGES]
        cells = "".join(
            f"{ms:14.0f}{statistics.median(sent[page, visit]) / 1e6:10.2f}"
            for page, ms in zip(PAGES, middle, strict=True)
        )
        lines.append(f"{visit:8}{cells}{middle[0] / middle[1]:8.2f}")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--chromium", required=True, help="path of the browser")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--adapter", default="swiftshader", help="'' for the real GPU")
    args = parser.parse_args()
    mounts = [word for mount in MOUNTS for word in ("--mount", mount)]
    server = subprocess.Popen(
        ["node", ".dev/server.mjs", *mounts], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    times, sent = {}, {}
    try:
        url = server.stdout.readline().strip()
        with sync_playwright() as playwright:
            for number in range(args.rounds):
                # who comes first changes from round to round
                for page in PAGES[:: -1 if number % 2 else 1]:
                    found = visits(
                        playwright, args.chromium, args.adapter, f"{url}start/{page}.html"
                    )
                    for visit, (ms, size) in zip(VISITS, found, strict=True):
                        times.setdefault((page, visit), []).append(ms)
                        sent.setdefault((page, visit), []).append(size)
                print(f"round {number + 1} of {args.rounds}", flush=True)
    finally:
        server.terminate()
    print(f"\nFrom navigation to the first number, medians of {args.rounds}:\n{table(times, sent)}")


if __name__ == "__main__":
    main()
