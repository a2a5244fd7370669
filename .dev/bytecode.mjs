// Bytecode for the page: importing it takes a seventh of the time that compiling takes there.
//
// It lies beside the wheel, which stays pure Python. Each file carries the hash of its source, so
// bytecode that does not fit the wheel is ignored; so is all of it by another version of Python.

import { readFileSync } from "node:fs";
import { at } from "./places.mjs";

const COMPILE = `
import io, pathlib, py_compile, zipfile

zipfile.ZipFile("wheel.zip").extractall("unpacked")
made = io.BytesIO()
with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
    for source in sorted(pathlib.Path("unpacked").rglob("*.py")):
        name = source.relative_to("unpacked").as_posix()
        target = py_compile.compile(
            str(source),
            dfile=f"{site_packages}/{name}",
            quiet=2,
            invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH,
        )
        if target is None:
            continue  # It does not compile, which whoever imports it is told.
        # A fixed date, so that the same sources give the same archive.
        entry = zipfile.ZipInfo(pathlib.Path(target).relative_to("unpacked").as_posix())
        entry.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(entry, pathlib.Path(target).read_bytes())
made.getvalue()
`;

/** Compile the modules of a wheel with Pyodide's own Python; returns a zip to unpack over it. */
export async function compileWheel(wheel) {
  const { loadPyodide } = await import("pyodide");
  const pyodide = await loadPyodide({ indexURL: at("node_modules", "pyodide") });
  pyodide.FS.writeFile("wheel.zip", readFileSync(wheel));
  const site = pyodide.runPython("import site; site.getsitepackages()[0]");
  pyodide.globals.set("site_packages", site);
  const made = pyodide.runPython(COMPILE);
  const bytes = made.toJs();
  made.destroy();
  return bytes;
}
