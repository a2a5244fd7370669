/** A worker's script as an unprotected site might have one: it fetches from where it is told. */

addEventListener("message", ({ data }) => fetch(data.base));
