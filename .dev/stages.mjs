// The stages of `npm test`: what each needs, runs, and how its results are counted.

import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { check } from "./check.mjs";
import { hasEngine, MISSING } from "./engines.mjs";
import { at, cache, root, tool, windows } from "./places.mjs";
import { must, run, yellow } from "./terminal.mjs";

const results = join(cache, "results");
const none = { passed: 0, failed: 0, skipped: 0 };
const minutes = (count) => count * 60_000;

const add = (a, b) => ({
  passed: a.passed + b.passed,
  failed: a.failed + b.failed,
  skipped: a.skipped + b.skipped,
});

/** The file that a runner writes its results to, and what it holds afterwards. */
function resultFile(name) {
  mkdirSync(results, { recursive: true });
  const path = join(results, name);
  rmSync(path, { force: true });
  const text = () => {
    try {
      return readFileSync(path, "utf8");
    } catch {
      return "";
    }
  };
  return { path, text };
}

/** A runner that failed without saying which test did counts as one failure. */
function settle(code, counts) {
  const silent = code !== 0 || counts.passed + counts.failed + counts.skipped === 0;
  return silent && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
}

/**
 * What all tests run with. Bytecode is kept, even where the user's own settings forbid it: dozens of tests
 * start a Python. BLAS gets one thread, for a process runs on each core, and threads that wait for each
 * other made convolutions ten times slower.
 */
const ENVIRONMENT = {
  OPENBLAS_NUM_THREADS: "1",
  PYTHONDONTWRITEBYTECODE: "",
  PYTHONPYCACHEPREFIX: join(cache, "bytecode"),
};

async function pytest(name, args, timeout, env = {}) {
  const file = resultFile(`${name}.xml`);
  const options = ["-q", "--durations=5", `--junitxml=${file.path}`, "-o", "junit_family=xunit2"];
  const { code } = await run(tool("python"), ["-m", "pytest", ...options, ...args], {
    cwd: root,
    env: { ...ENVIRONMENT, ...env },
    live: true,
    timeout,
  });
  const suite = file.text().match(/<testsuite [^>]*>/)?.[0] ?? "";
  const count = (word) => Number(suite.match(new RegExp(`\\b${word}="(\\d+)"`))?.[1] ?? 0);
  const failed = count("failures") + count("errors");
  const skipped = count("skipped");
  return settle(code, { passed: count("tests") - failed - skipped, failed, skipped });
}

async function nodeTest(folder, timeout) {
  const files = readdirSync(at(folder)).filter((name) => /\.test\.m?js$/.test(name));
  if (files.length === 0) return none;
  const file = resultFile("node.tap");
  const reporters = [
    ["--test-reporter=spec", "--test-reporter-destination=stdout"],
    ["--test-reporter=tap", `--test-reporter-destination=${file.path}`],
  ].flat();
  const paths = files.map((name) => join(folder, name));
  const { code } = await run(process.execPath, ["--test", ...reporters, ...paths], {
    cwd: root,
    live: true,
    timeout,
  });
  const count = (word) =>
    Number(file.text().match(new RegExp(`^# ${word} (\\d+)$`, "m"))?.[1] ?? 0);
  return settle(code, {
    passed: count("pass"),
    failed: count("fail") + count("cancelled"),
    skipped: count("skipped"),
  });
}

const PROCESSES = ["-n", "auto", "--maxprocesses=4"];

// A process for each core, a few at most, over neighbouring tests, which share what they have made; one that
// has none left takes some of another's, so that no core waits for a file that takes minutes.
const STEAL = ["--dist", "worksteal"];
const PARALLEL = [...PROCESSES, ...STEAL];

/** One more process than cores, for tests that wait half of the time: for a page, or for processes they start. */
const WAITING = ["-n", String(Math.min(availableParallelism() + 1, 4))];

/** The files of tests that name a mark: a stage of few tests need not import all the others. */
function filesWith(mark) {
  const named = (name) => /(^|[\\/])test_\w+\.py$/.test(name) && !/^web\b/.test(name);
  const files = readdirSync(at("tests"), { recursive: true }).filter(named).sort();
  return files
    .map((name) => join("tests", name))
    .filter((path) => readFileSync(at(path), "utf8").includes(mark));
}

let built = "";

/** Build web/dist, once for all stages; `lab` with JupyterLite. */
async function build(...lab) {
  const kind = lab.join();
  if (built.startsWith(`built ${kind}`)) return;
  const args = [at(".dev/build.mjs"), ...lab, "--quick"];
  await must("The site could not be built.", process.execPath, args, { cwd: root });
  built = `built ${kind}`;
}

/** Older versions of Pyodide, which need no browser. */
const OLDER = "tests/web/test_older_pyodide.py";

/** What starts processes, trains for seconds, or imports large packages of others. */
const WHOLE = ["arrays", "command", "data", "examples", "notebooks", "packaging", "programs"];

const BUILT = { TABGRAD_SITE: "built" };

/** A stage that runs the tests inside Pyodide in an engine other than Chromium, if set-up found that. */
const inEngine = (engine, about, needs, more = []) => ({
  about,
  needs: ["node", "pyodide", ...needs],
  run: async () => {
    if (!hasEngine(engine)) {
      console.log(
        yellow(`SKIPPED: no ${engine} was found, so nothing is tested in it. ${MISSING[engine]}`),
      );
      return { ...none, skipped: 1 };
    }
    await build();
    const tests = ["tests/web/inside", ...more];
    const args = ["--host=browser", `--engine=${engine}`, ...tests, ...PARALLEL];
    return pytest(engine, args, minutes(10), BUILT);
  },
});

/**
 * Python in the tab, in a browser for each core, and then the pages, in one more, because they wait half of
 * the time. A file of pages stays whole: its tests share a page that takes seconds to start; those that
 * take longest come first. Node has the same engine and compiler of shaders: where it runs too (`names` are the
 * stages of the run), cases that engines share are left to one of the two.
 */
async function browser(names) {
  await build("--lab");
  const shared = names.includes("node") && hasEngine("node") ? { TABGRAD_WITH_NODE: "1" } : {};
  const inside = ["--host=browser", "tests/web/inside", ...PROCESSES];
  const longest = ["gallery", "page_start", "lab", "interpreter", "element", "notebooks"];
  longest.push("page_faults", "page", "page_digits", "page_shows", "page_keeps", "ways_out");
  longest.push("safari", "without_webgpu");
  const files = [
    ...longest.map((name) => `tests/web/test_${name}.py`),
    "tests/web",
    "--ignore=tests/web/inside",
    `--ignore=${OLDER}`,
  ];
  const whole = [...WAITING, "--dist", "loadfile", "--no-loadscope-reorder"];
  const pages = ["--host=browser", ...files, ...whole];
  // by itself: it drives a browser of its own, and a process has one driver
  const shaders = ["--host=browser", "tests/shaders/test_chromium.py", ...PROCESSES];
  const counts = [
    await pytest("inside", inside, minutes(20), { ...BUILT, ...shared }),
    await pytest("pages", pages, minutes(20), BUILT),
    await pytest("shaders", shaders, minutes(5), BUILT),
    await nodeTest(join("tests", "web"), minutes(5)),
  ];
  return counts.reduce(add);
}

export const stages = {
  check: {
    about: "lint, format, types, layers: what `npm run check` says",
    needs: ["node"],
    run: () => check(),
  },
  hostless: {
    about: "what needs no device: NumPy, rules, plans, documentation",
    needs: [],
    run: () => {
      const folders = ["protocol", "web", "distributed", ...WHOLE];
      const elsewhere = [...folders.map((name) => `--ignore=tests/${name}`), "-m", "not nvrtc"];
      return pytest("hostless", [...elsewhere, ...PARALLEL], minutes(10));
    },
  },
  programs: {
    about:
      "whole programs on the CPU: examples, commands, worker processes, the wheel, other packages",
    needs: [],
    run: () => {
      const folders = WHOLE.map((name) => `tests/${name}`);
      return pytest("programs", [...folders, "-m", "not nvrtc", ...WAITING, ...STEAL], minutes(10));
    },
  },
  protocol: {
    about: "packets, in Python and in JavaScript, over the same vectors",
    needs: [],
    run: async () =>
      add(
        await pytest("protocol", ["tests/protocol"], minutes(5)),
        await nodeTest(join("tests", "protocol"), minutes(5)),
      ),
  },
  mpi: {
    about: "programs in several processes, over MPI",
    needs: [],
    // no wheel of Open MPI is for Windows
    run: () =>
      windows ? none : pytest("mpi", ["tests/distributed", ...WAITING, ...STEAL], minutes(10)),
  },
  cuda: {
    about: "every CUDA kernel through the compiler NVRTC, which needs no GPU",
    needs: [],
    run: () => pytest("cuda", [...filesWith("nvrtc"), "-m", "nvrtc", ...PARALLEL], minutes(10)),
  },
  wgpu: {
    about: "the device tests natively, with wgpu-py",
    needs: ["vulkan"],
    run: () => {
      // Mesa's software driver compiles some twenty thousand small kernels here: without optimizing them
      // that takes a third less, and they run only once or twice.
      const env = { GALLIVM_PERF: "nopt" };
      const args = ["--host=wgpu", "--ignore=tests/web", ...PARALLEL];
      return pytest("wgpu", args, minutes(25), env);
    },
  },
  browser: {
    about: "inside Pyodide in Chromium, its compiler of shaders, and the pages from end to end",
    needs: ["node", "pyodide", "chromium", "notebooks"],
    run: browser,
  },
  firefox: inEngine(
    "firefox",
    "inside Pyodide in Firefox (naga, SpiderMonkey), a sixth of the ops, and pages",
    ["vulkan", "firefox"],
    ["tests/web/test_engines.py"],
  ),
  deno: inEngine("deno", "inside Pyodide in Deno (naga, V8), another sixth of the ops", [
    "vulkan",
    "engines",
  ]),
  node: inEngine(
    "node",
    "inside Pyodide in Node with Dawn (Tint), a third of the ops",
    ["chromium", "engines"],
    [OLDER],
  ),
};
