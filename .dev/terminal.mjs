// What a person sees: steps with progress, child processes, errors that say what to do.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

const fancy = Boolean(process.stdout.isTTY) && !process.env.CI && !process.env.NO_COLOR;
const grouped = process.platform !== "win32";
const colour = (code) => (text) => (fancy ? `\x1b[${code}m${text}\x1b[0m` : text);
export const bold = colour(1);
export const dim = colour(2);
export const red = colour(31);
export const green = colour(32);
export const yellow = colour(33);

/** An error whose message is meant for the person at the terminal: no stack is shown. */
export class Stop extends Error {}

/** Seconds since `start` (from `performance.now()`), for people. */
export function since(start) {
  const seconds = (performance.now() - start) / 1000;
  if (seconds < 90) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/**
 * Run `work` under a title. `work` gets a function that shows what is going on at the moment.
 * On a terminal that is one line that changes; in a log the title, then how long it took.
 */
export async function step(title, work) {
  const start = performance.now();
  const show = (text) => {
    const room = (process.stdout.columns ?? 80) - title.length - 18;
    const note = room > 10 ? text.replace(/\s+/g, " ").trim().slice(0, room) : "";
    process.stdout.write(`\r\x1b[K… ${title} ${dim(`${since(start)}  ${note}`)}`);
  };
  let latest = "";
  if (!fancy) console.log(`… ${title}`);
  const timer = fancy ? setInterval(() => show(latest), 200) : undefined;
  const clear = () => {
    clearInterval(timer);
    if (fancy) process.stdout.write("\r\x1b[K");
  };
  try {
    const result = await work((line) => {
      latest = line;
    });
    clear();
    console.log(`${green("✓")} ${title} ${dim(`(${since(start)})`)}`);
    return result;
  } catch (error) {
    clear();
    console.log(`${red("✗")} ${title}`);
    throw error;
  }
}

/** End a child process, and on systems with process groups all that it started. */
function end(child) {
  try {
    process.kill(grouped ? -child.pid : child.pid, "SIGKILL");
  } catch {
    // It has just ended by itself.
  }
}

/** End `child` after `timeout` milliseconds, or when this process is stopped. */
function guard(child, timeout) {
  const stop = () => {
    end(child);
    process.exit(130);
  };
  const timer = setTimeout(() => {
    console.log(red(`No end after ${timeout / 60_000} minutes: ${child.spawnargs.join(" ")}`));
    end(child);
  }, timeout);
  process.once("SIGINT", stop).once("SIGTERM", stop);
  child.once("close", () => {
    clearTimeout(timer);
    process.off("SIGINT", stop).off("SIGTERM", stop);
  });
}

/**
 * Run a program. Resolves to `{ code, output }`; never rejects because of an exit status.
 * Without `live`, its output is collected and given to `note` line by line; with it, the
 * program writes to the terminal itself. After `timeout` milliseconds it is ended.
 */
export function run(command, args, options = {}) {
  const { cwd, env, note, live = false, shell = false, timeout } = options;
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      shell,
      // In a group of its own, so that its browsers and servers can be ended with it.
      detached: grouped && timeout !== undefined,
      stdio: live ? ["ignore", "inherit", "inherit"] : ["ignore", "pipe", "pipe"],
    });
    if (timeout !== undefined) guard(child, timeout);
    const lines = [];
    for (const stream of live ? [] : [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        lines.push(line);
        note?.(line);
      });
    }
    child.on("error", (error) => resolve({ code: 127, output: error.message }));
    child.on("close", (code, signal) =>
      resolve({ code: code ?? 128, output: lines.join("\n") + (signal ? `\n${signal}` : "") }),
    );
  });
}

/** Run a program that must succeed; otherwise stop with `problem` and the end of its output. */
export async function must(problem, command, args, options) {
  const { code, output } = await run(command, args, options);
  if (code === 0) return output;
  const tail = output.split("\n").slice(-25).join("\n");
  throw new Stop(`${problem}\n\n${dim(`$ ${[command, ...args].join(" ")}`)}\n${tail}`);
}

/** Run the main function of a script; a Stop becomes its message and exit status 1. */
export async function main(work) {
  try {
    process.exitCode = (await work()) ?? 0;
  } catch (error) {
    console.error(`\n${error instanceof Stop ? error.message : error.stack}`);
    process.exitCode = 1;
  }
}
