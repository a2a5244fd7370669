/**
 * Takes away from a worker all that leads out of it, before a program runs in it. The frame's policy
 * and its origin, which is nobody's, forbid the same; this holds where a browser has a hole there,
 * keeps the way to the page for the worker's own code, and says why something is missing.
 */

const CALLED = [
  ...["fetch", "fetchLater", "importScripts", "XMLHttpRequest", "EventSource"],
  ...["WebSocket", "WebSocketStream", "WebTransport", "RTCPeerConnection"],
  ...["Worker", "SharedWorker", "BroadcastChannel", "FontFace", "Notification"],
  ...["postMessage", "close", "webkitRequestFileSystem", "webkitRequestFileSystemSync"],
  ...["webkitResolveLocalFileSystemURL", "webkitResolveLocalFileSystemSyncURL"],
];
const OBJECTS = ["indexedDB", "caches", "cookieStore", "fonts", "onmessage", "onmessageerror"];
const NAVIGATOR = [
  ...[
    "sendBeacon",
    "storage",
    "storageBuckets",
    "webkitTemporaryStorage",
    "webkitPersistentStorage",
  ],
  ...["locks", "serviceWorker", "permissions", "usb", "serial", "hid", "bluetooth", "connection"],
];

/** Delete a property from an object and from all that it inherits from. @param {object} owner @param {string} name */
function remove(owner, name) {
  for (let object = owner; object; object = Object.getPrototypeOf(object)) {
    if (Object.hasOwn(object, name) && !Reflect.deleteProperty(object, name)) {
      throw new Error(`${name} cannot be taken away`);
    }
  }
}

/** Stands where something was, and says that it is gone, called or constructed. @param {string} name */
function refusal(name) {
  const refuse = () => {
    throw new Error(
      `${name}: a program on this page has no network, no storage and no other worker`,
    );
  };
  return new Proxy(class {}, { apply: refuse, construct: refuse });
}

/** Leave nothing that leads out. */
export function deny() {
  for (const name of [...CALLED, ...OBJECTS]) remove(globalThis, name);
  for (const name of NAVIGATOR) remove(navigator, name);
  for (const name of CALLED) Object.defineProperty(globalThis, name, { value: refusal(name) });
}
