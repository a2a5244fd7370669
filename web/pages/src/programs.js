/** The programs that the page offers: files of the package, as they are. */

/// <reference path="./text.d.ts" />
import digits from "../../../py/tabgrad/examples/digits.py";
import spirals from "../../../py/tabgrad/examples/spirals.py";
import tensors from "../../../py/tabgrad/examples/tensors.py";

/** @typedef {{ name: string, title: string, source: string }} Program */

/** @type {Program[]} */
export const programs = [
  { name: "digits.py", title: "Handwritten digits", source: digits },
  { name: "spirals.py", title: "Two spirals", source: spirals },
  { name: "tensors.py", title: "Tensors and derivatives", source: tensors },
];
