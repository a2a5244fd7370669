/**
 * The numbers of the protocol, from py/tabgrad/hosts/commands.py: `python -m tests.protocol.constants`
 * writes this file, and a test holds it to the declaration.
 */

export const MAGIC = 0x74616267;
export const VERSION = 1;
export const HEADER_WORDS = 3;
/** Where a binding may begin on every WebGPU device, in bytes. */
export const WINDOW_ALIGNMENT = 256;

export const ALLOC = 1;
export const FREE = 2;
export const WRITE = 3;
export const WRITE_BLOB = 4;
export const COPY = 5;
export const PIPELINE = 6;
export const DISPATCH = 7;
export const ROUTINE = 8;
export const READ = 9;
export const STORE = 10;
export const REPLAY = 11;
export const DROP = 12;
export const DROP_PIPELINE = 13;
export const WINDOW = 14;
export const TIMED_REPLAY = 15;

/** The commands by their tag. */
export const NAMES = [
  "",
  "Alloc",
  "Free",
  "Write",
  "WriteBlob",
  "Copy",
  "Pipeline",
  "Dispatch",
  "Routine",
  "Read",
  "Store",
  "Replay",
  "Drop",
  "DropPipeline",
  "Window",
  "TimedReplay",
];
