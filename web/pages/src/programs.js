/** The programs that the page offers, in the order of a course: files of the package, as they are. */

/// <reference path="./text.d.ts" />
import attention from "../../../py/tabgrad/examples/attention.py";
import autoencoder from "../../../py/tabgrad/examples/autoencoder.py";
import curvature from "../../../py/tabgrad/examples/curvature.py";
import descent from "../../../py/tabgrad/examples/descent.py";
import diffusion from "../../../py/tabgrad/examples/diffusion.py";
import digits from "../../../py/tabgrad/examples/digits.py";
import gpt from "../../../py/tabgrad/examples/gpt.py";
import neuron from "../../../py/tabgrad/examples/neuron.py";
import ode from "../../../py/tabgrad/examples/ode.py";
import spirals from "../../../py/tabgrad/examples/spirals.py";
import tensors from "../../../py/tabgrad/examples/tensors.py";
import throwing from "../../../py/tabgrad/examples/throw.py";

/** @typedef {{ name: string, title: string, source: string }} Program */

/** @type {Program[]} The first is the one that the page opens with. */
export const programs = [
  { name: "digits.py", title: "Handwritten digits", source: digits },
  { name: "tensors.py", title: "Tensors and derivatives", source: tensors },
  { name: "neuron.py", title: "One neuron, step by step", source: neuron },
  { name: "descent.py", title: "A race downhill", source: descent },
  { name: "curvature.py", title: "Newton against gradient descent", source: curvature },
  { name: "throw.py", title: "Physics by gradient", source: throwing },
  { name: "spirals.py", title: "Two spirals", source: spirals },
  { name: "autoencoder.py", title: "An autoencoder", source: autoencoder },
  { name: "ode.py", title: "A neural ODE", source: ode },
  { name: "attention.py", title: "Attention finds where to look", source: attention },
  { name: "gpt.py", title: "A GPT that writes numbers", source: gpt },
  { name: "diffusion.py", title: "Diffusion in the plane", source: diffusion },
];
