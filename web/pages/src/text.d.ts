/** Python files are bundled as their text. */
declare module "*.py" {
  const text: string;
  export default text;
}

/** Scripts that run elsewhere are bundled as text too: see build.mjs. */
declare module "text:*" {
  const text: string;
  export default text;
}
