/**
 * Keeps a text in the browser's database for the next session: what was measured of kernels. Where there is no
 * database, or it does not answer soon, nothing is kept.
 */

const NAME = "tabgrad";
const SHELF = "kernels";
const KEY = "answers";
// Milliseconds that a page waits for what was kept; the adapter takes longer.
const PATIENCE = 200;

/** @returns {Promise<IDBDatabase>} */
function openDatabase() {
  return new Promise((resolve, reject) => {
    const request = globalThis.indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(SHELF);
    request.onsuccess = () => resolve(request.result);
    request.onerror = request.onblocked = () => reject(request.error);
  });
}

/**
 * @template T
 * @param {IDBTransactionMode} mode @param {(store: IDBObjectStore) => IDBRequest<T>} ask
 * @returns {Promise<T>}
 */
async function inStore(mode, ask) {
  const database = await openDatabase();
  try {
    return await new Promise((resolve, reject) => {
      const request = ask(database.transaction(SHELF, mode).objectStore(SHELF));
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  } finally {
    database.close();
  }
}

/** The text that was kept; empty if there is none. @returns {Promise<string>} */
export async function recall() {
  const late = new Promise((resolve) => setTimeout(() => resolve(""), PATIENCE));
  try {
    const found = inStore("readonly", (store) => store.get(KEY));
    found.catch(() => "");
    return String((await Promise.race([found, late])) ?? "");
  } catch {
    return "";
  }
}

/** Keep a text. @param {string} text @returns {Promise<boolean>} whether that could be done */
export async function keep(text) {
  try {
    await inStore("readwrite", (store) => store.put(text, KEY));
    return true;
  } catch {
    return false;
  }
}
