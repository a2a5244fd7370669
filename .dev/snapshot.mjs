// A snapshot of Python's memory as the page gets it: without what is free, and without pages of zeros.
//
// `web/pages/src/worker/snapshot.js` reads it: Pyodide's own head, the number of words that follow, the bytes of
// the memory, a first page and a number of pages for each run of pages that are not all zeros, and these pages.

const PAGE = 4096; // bytes
const LARGEST = 1 << 18; // bytes that are asked for at once
const SLACK = 1 << 16; // bytes that the allocator may take for itself

/** Write zeros where memory is free: what lay there before would be sent for nothing. */
export function wipe(module) {
  const { _sbrk: sbrk, _malloc: malloc, _free: free } = module;
  const top = sbrk(0);
  let room = module.HEAPU8.length - top - SLACK; // what ends there makes no memory grow
  const held = [];
  for (let size = LARGEST; size >= 16; size /= 2) {
    while (size <= room) {
      const at = malloc(size);
      held.push(at);
      if (at + size > top) {
        room -= size;
        break;
      }
      module.HEAPU8.fill(0, at, at + size); // a memory that has grown has another view
    }
  }
  held.forEach(free);
}

/** Pyodide's snapshot in the form above. */
export function packed(snapshot) {
  const [, length] = new Uint32Array(snapshot.buffer, 0, 2);
  const memory = Buffer.from(snapshot.buffer, length);
  const zeros = Buffer.alloc(PAGE);
  const runs = [];
  for (let page = 0; page < memory.length / PAGE; page += 1) {
    if (memory.subarray(page * PAGE, (page + 1) * PAGE).equals(zeros)) continue;
    const last = runs.at(-1);
    if (last && last.first + last.count === page) last.count += 1;
    else runs.push({ first: page, count: 1 });
  }
  const words = [memory.length, ...runs.flatMap(({ first, count }) => [first, count])];
  return Buffer.concat([
    Buffer.from(snapshot.buffer, 0, length),
    Buffer.from(Uint32Array.of(words.length, ...words).buffer),
    ...runs.map(({ first, count }) => memory.subarray(first * PAGE, (first + count) * PAGE)),
  ]);
}
