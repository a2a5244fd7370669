/** The programs that the page offers: files of the package, as they are. */

/// <reference path="./text.d.ts" />
import digits from "../../../py/tabgrad/examples/digits.py";

/** @typedef {{ name: string, title: string, source: string }} Program */

/** @type {Program[]} */
export const programs = [{ name: "digits.py", title: "Handwritten digits", source: digits }];
