// A static file server for web/dist and for tests: right types, isolated origin, loopback.
//
// `node .dev/server.mjs --port 0 --mount /=web/dist --mount /tab/=tests/web/tab` serves until
// it is killed and prints its address as one line.

import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize, resolve, sep } from "node:path";
import { parseArgs } from "node:util";
import { current } from "./compress.mjs";
import { isMain, root } from "./places.mjs";
import { main, Stop } from "./terminal.mjs";

const types = {
  ".css": "text/css; charset=utf-8",
  ".bin": "application/octet-stream",
  ".csv": "text/csv; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".ico": "image/x-icon",
  ".ipynb": "application/json; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json; charset=utf-8",
  ".map": "application/json; charset=utf-8",
  ".md": "text/markdown; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".png": "image/png",
  ".py": "text/x-python; charset=utf-8",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
  ".webmanifest": "application/manifest+json",
  ".webp": "image/webp",
  ".wgsl": "text/wgsl; charset=utf-8",
  ".whl": "application/zip",
  ".woff2": "font/woff2",
  ".zip": "application/zip",
};

// With these a page may use SharedArrayBuffer. Many static hosts do not send them, and compress little of what
// they send, so nothing may depend on either: `plain` serves as such a host does. The element is for pages of
// other origins, and to Firefox its frame, which is sandboxed, is of another one even here.
const isolation = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "cross-origin",
};

/** The file that a URL path names under the mounts, or undefined. */
function locate(mounts, path) {
  for (const [prefix, folder] of mounts) {
    if (!path.startsWith(prefix)) continue;
    const base = resolve(folder);
    let file = normalize(join(base, path.slice(prefix.length)));
    if (file !== base && !file.startsWith(base + sep)) continue;
    if (existsSync(file) && statSync(file).isDirectory()) file = join(file, "index.html");
    if (existsSync(file) && statSync(file).isFile()) return file;
  }
  return undefined;
}

/** How long a file may be kept: for good where its name has a hash of what is in it. */
function kept(file) {
  const named =
    /-[0-9A-Za-z]{8,16}\.\w+(\.gz)?$/.test(file) && /[/\\](python|assets)[/\\]/.test(file);
  return named ? "public, max-age=31536000, immutable" : "no-cache";
}

/** The form of a file that is sent: the smallest that the browser takes and that lies beside it. */
function form(file, accepted) {
  const codings = accepted.split(",").map((one) => one.split(";")[0].trim());
  for (const [coding, ending] of [
    ["br", ".br"],
    ["gzip", ".gz"],
  ]) {
    const path = file + ending;
    if (!codings.includes(coding) || !current(path, statSync(file))) continue;
    if (statSync(path).size > 0) return { coding, path };
  }
  return { coding: "", path: file };
}

function answer(mounts, plain, request, response) {
  const headers = plain ? {} : isolation;
  const refuse = (status, text) => {
    response.writeHead(status, { "Content-Type": "text/plain; charset=utf-8", ...headers });
    response.end(`${text}\n`);
  };
  if (request.method !== "GET" && request.method !== "HEAD") return refuse(405, "GET or HEAD only");
  let path;
  try {
    path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
  } catch {
    return refuse(400, "Not a path");
  }
  if (mounts.some(([prefix]) => prefix === `${path}/`)) {
    // the links of a page are relative to its folder
    response.writeHead(301, { Location: `${path}/`, ...headers });
    return response.end();
  }
  const file = path.includes("\0") ? undefined : locate(mounts, path);
  if (!file) return refuse(404, `Nothing at ${path}`);
  const accepted = plain ? "" : (request.headers["accept-encoding"] ?? "");
  const { coding, path: sent } = form(file, accepted);
  const { size, mtimeMs } = statSync(sent);
  const tag = `"${size.toString(36)}-${Math.trunc(mtimeMs).toString(36)}"`;
  const about = { "Cache-Control": kept(file), ETag: tag, Vary: "Accept-Encoding", ...headers };
  if (coding) about["Content-Encoding"] = coding;
  if (request.headers["if-none-match"] === tag) {
    response.writeHead(304, about);
    return response.end();
  }
  const type = types[extname(file)] ?? "application/octet-stream";
  response.writeHead(200, { "Content-Type": type, "Content-Length": size, ...about });
  if (request.method === "HEAD") return response.end();
  return createReadStream(sent)
    .on("error", () => response.destroy())
    .pipe(response);
}

function listen(server, port, host) {
  return new Promise((done, failed) => {
    server.once("error", failed);
    server.listen(port, host, () => done(server.address().port));
  });
}

/**
 * Serve `mounts`, pairs of URL prefix and folder (the first that has the file answers).
 * With `tries`, the next ports are tried when `port` is taken. Resolves to `{ url, close }`.
 */
export async function serve({ mounts, port = 0, host = "localhost", tries = 1, plain = false }) {
  for (let attempt = 0; attempt < tries; attempt += 1) {
    const server = createServer((request, response) => answer(mounts, plain, request, response));
    try {
      const actual = await listen(server, port && port + attempt, host);
      const name = host.includes(":") ? `[${host}]` : host;
      return { url: `http://${name}:${actual}/`, close: () => server.close() };
    } catch (error) {
      if (error.code !== "EADDRINUSE" || attempt + 1 < tries) {
        if (error.code === "EADDRINUSE") continue;
        throw new Stop(`Cannot listen on ${host}:${port}: ${error.message}`);
      }
    }
  }
  const range = tries > 1 ? `ports ${port} to ${port + tries - 1} are` : `port ${port} is`;
  throw new Stop(`On ${host} the ${range} taken. Name another one: --port N`);
}

if (isMain(import.meta.url)) {
  await main(async () => {
    const { values } = parseArgs({
      options: {
        port: { type: "string", default: "0" },
        host: { type: "string", default: "127.0.0.1" },
        mount: { type: "string", multiple: true, default: ["/=web/dist"] },
        plain: { type: "boolean", default: false },
      },
    });
    const mounts = values.mount.map((text) => {
      const [prefix, folder] = text.split("=");
      return [prefix, resolve(root, folder)];
    });
    const port = Number(values.port);
    const { url } = await serve({ mounts, port, host: values.host, plain: values.plain });
    console.log(url);
  });
}
