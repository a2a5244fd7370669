"""Ways in which a program could leave its page: over the network, or into the storage of the origin.

Each is an async function of JavaScript that a program calls, or a few lines of Python. `url` names where it
shall go, at another origin; its last part is the name of the way. What touches storage leaves "left".
"""

from __future__ import annotations

WASM = (
    "Uint8Array.of(0,97,115,109,1,0,0,0, 1,5,1,96,1,111,0, 2,7,1,1,97,1,102,0,0, 3,2,1,0,"
    " 7,5,1,1,103,0,1, 10,8,1,6,0,32,0,16,0,11)"  # exports g, which calls the a.f that it imports
)
BLOB = "const blob = (text) => URL.createObjectURL(new Blob([text], { type: 'text/javascript' }));"
DATA = "const data = (text) => 'data:text/javascript,' + encodeURIComponent(text);"

NETWORK = {
    "fetch": "fetch(url)",
    "fetch-opaque": "fetch(url, { mode: 'no-cors' })",
    "fetch-post": "fetch(url, { method: 'POST', body: 'secret', keepalive: true, mode: 'no-cors' })",
    "fetch-request": "fetch(new Request(url))",
    "fetch-of-prototype": "Object.getPrototypeOf(Object.getPrototypeOf(self)).fetch.call(self, url)",
    "fetch-of-descriptor": "Object.getOwnPropertyDescriptor(WorkerGlobalScope.prototype, 'fetch')"
    ".value.call(self, url)",
    "fetch-by-constructor": "(async () => {}).constructor('u', 'return fetch(u)')(url)",
    "fetch-by-timer": "void setTimeout(`fetch('${url}')`)",
    "fetch-by-eval": "(0, eval)(`fetch('${url}')`)",
    "fetch-by-wasm": f"new WebAssembly.Instance(new WebAssembly.Module({WASM}),"
    " { a: { f: fetch } }).exports.g(url)",
    "xhr": "{ const x = new XMLHttpRequest(); x.open('GET', url); x.send(); }",
    "xhr-sync": "{ const x = new XMLHttpRequest(); x.open('GET', url, false); x.send(); }",
    "websocket": "void new WebSocket(url.replace('http', 'ws'))",
    "websocket-stream": "void new WebSocketStream(url.replace('http', 'ws')).opened.catch(() => {})",
    "event-source": "void new EventSource(url)",
    "font": "new FontFace('f', `url(${url})`).load()",
    "font-set": "{ fonts.add(new FontFace('g', `url(${url})`)); await fonts.load('9px g'); }",
    "import": "import(url)",
    "import-in-blob": BLOB + "await import(blob(`import '${url}'`))",
    "import-in-data": DATA + "await import(data(`import '${url}'`))",
    "wasm-streaming": "WebAssembly.compileStreaming(fetch(url))",
    "cache-add": "(await caches.open('left')).add(url)",
    "worker-blob": BLOB + "void new Worker(blob(`fetch('${url}')`))",
    "worker-blob-module": BLOB + "void new Worker(blob(`import '${url}'`), { type: 'module' })",
    "worker-blob-scripts": BLOB + "void new Worker(blob(`importScripts('${url}')`))",
    "worker-data": DATA + "void new Worker(data(`fetch('${url}')`))",
    "worker-data-module": DATA + "void new Worker(data(`import '${url}'`), { type: 'module' })",
    "worker-data-scripts": DATA + "void new Worker(data(`importScripts('${url}')`))",
    "worker-of-worker": BLOB + "void new Worker(blob(`const b = new Blob([\"fetch('${url}')\"]);"
    " new Worker(URL.createObjectURL(b)); setTimeout(() => {}, 3000)`))",
    "worker-of-descriptor": BLOB
    + "const W = Object.getOwnPropertyDescriptor(self, 'Worker').value; void new W(blob(`fetch('${url}')`))",
}

# The scripts that lie beside the page, started as workers and told what the page would tell its own.
OWN_SCRIPT = """async (url) => {
    for (const name of %s) {
        const worker = new Worker(%r + name, { type: 'module' });
        worker.postMessage({ type: 'start', base: url, interrupt: null });
    }
}"""

STORAGE = {
    "indexed-db": "new Promise((done, failed) => { const r = indexedDB.open('left');"
    " r.onsuccess = () => done(r.result.close()); r.onerror = failed; })",
    "cache": "(await caches.open('left')).put('/left', new Response('left'))",
    "files": "(await navigator.storage.getDirectory()).getFileHandle('left', { create: true })",
    "files-legacy": "new Promise((done, failed) => webkitRequestFileSystem(0, 99,"
    " (fs) => fs.root.getFile('left', { create: true }, done, failed), failed))",
    "bucket": "navigator.storageBuckets.open('left')",
    "lock": "void navigator.locks.request('left', () => new Promise((done) => setTimeout(done, 4000)))",
    "broadcast": "new BroadcastChannel('left').postMessage('left')",
}

PYTHON = {
    "pyfetch": "from pyodide.http import pyfetch\nawait pyfetch(url)",
    "pyxhr": "from pyodide.http import pyxhr\npyxhr.get(url)",
    "open-url": "from pyodide.http import open_url\nopen_url(url)",
    "load-package": "import pyodide_js\nawait pyodide_js.loadPackage(url + '/p-1-py3-none-any.whl')",
    "lazy-file": "import pyodide_js\npyodide_js.FS.createLazyFile('/tmp', 'way', url, True, False)\n"
    "open('/tmp/way').read()",
    "wget": "import pyodide_js\nawait pyodide_js.FS.createPreloadedFile('/tmp', 'pre', url, True, False)",
}

# Seen from a page of the origin: everything that is kept there under the name "left".
LEFT = """async () => {
    const legacy = new Promise((done) => webkitRequestFileSystem(0, 99, (fs) =>
        fs.root.createReader().readEntries((all) => done(all.map((e) => e.name))), () => done([])));
    const files = [];
    for await (const name of (await navigator.storage.getDirectory()).keys()) files.push(name);
    return {
        'indexed-db': (await indexedDB.databases()).map(({ name }) => name),
        cache: await caches.keys(),
        files,
        'files-legacy': await legacy,
        bucket: await navigator.storageBuckets.keys(),
        lock: (await navigator.locks.query()).held.map(({ name }) => name),
        broadcast: globalThis.heard ?? [],
    };
}"""

HEAR = """() => {
    globalThis.heard = [];
    globalThis.ear = new BroadcastChannel('left');
    ear.onmessage = ({ data }) => heard.push(data);
}"""


def program(name: str, there: str, here: str, scripts: list[str]) -> str:
    """The program that tries one way, to go from the page at `here` to the server at `there`."""
    url = there + name
    if name in PYTHON:
        return f"url = {url!r}\n{PYTHON[name]}\n"
    if name == "worker-own-script":
        code = OWN_SCRIPT % (scripts, here)
    else:
        body = {**NETWORK, **STORAGE}[name]
        statement = body if body.startswith(("{", "const", "void")) else f"await {body}"
        code = f"async (url) => {{ {statement} }}"
    return f"from pyodide.code import run_js\nawait run_js({code!r})({url!r})\n"


NAMES = [*NETWORK, "worker-own-script", *PYTHON]
