/** Fetches large files of the site, compressed also where the host does not compress what it sends. */

/**
 * Fetch a file. A host that compresses sends it so; of another one `<file>.gz` is taken, which the build has
 * put beside the file, and unpacked here. The host is asked first, so that nothing is sent in two forms.
 * @param {URL} url @returns {Promise<Response>}
 */
export async function download(url) {
  if (url.pathname.endsWith(".whl")) return fetch(url); // which is a compressed archive
  const asked = await fetch(url, { method: "HEAD" }).catch(() => null);
  if (asked?.headers.get("content-encoding")) return fetch(url);
  const small = await fetch(`${url}.gz`).catch(() => null);
  if (!small?.ok || !small.body || small.headers.get("content-length") === "0") return fetch(url);
  // some hosts say that a `.gz` is compressed, and the browser has unpacked it then
  if (small.headers.get("content-encoding")) return small;
  return new Response(small.body.pipeThrough(new DecompressionStream("gzip")));
}
