"""The benchmark's report as tables: text for the terminal, Markdown for the README."""

import roofline

TITLES = {
    "matmul512": "matrix product, 512 × 512",
    "chain": "10 element-wise ops on 2²⁰ numbers, then the sum",
    "softmax": "softmax, 1024 × 1024",
    "fft1024": "512 Fourier transforms of 1,024 complex numbers",
    "fft262144": "Fourier transform of 2¹⁸ complex numbers",
    "cholesky256": "Cholesky factors, 256 × 256",
    "cholesky32": "Cholesky factors, 256 of 32 × 32",
    "lu256": "LU factors, 256 × 256",
    "lu32": "LU factors, 256 of 32 × 32",
    "qr256": "QR factors, 256 × 256",
    "qr32": "QR factors, 256 of 32 × 32",
    "eigh256": "eigenvalues and vectors, 256 × 256",
    "eigh32": "eigenvalues and vectors, 256 of 32 × 32",
    "svd256": "singular values and vectors, 256 × 256",
    "svd32": "singular values and vectors, 256 of 32 × 32",
    "tiny": "200 dependent ops on 1,000 numbers",
    "record": "1,000 separate ops on 1,000 numbers",
    "mlp": "training step, MLP 784-256-256-10, batch 128, Adam",
    "cnn": "training step, two convolutions, batch 32, momentum",
    "gpt": "training step, 2-layer GPT, batch 8 × 64, Adam",
    "hvp": "Hessian-vector product, MLP 10-32-1",
    "jacrev": "Jacobian of a small network",
    "hessian": "Hessian of a small network",
    "strided": "training step, three strided convolutions",
    "unet": "training step, transposed convolution",
    "separable": "training step, depth-wise convolutions",
    "lstm": "training step, LSTM of 24 places",
    "flow": "training step, one network twelve times",
    "products": "training step, batched products",
    "attention": "training step, attention over 100 places",
    "block": "training step, LayerNorm + MLP",
    "vocabulary": "training step, 6,001 classes",
    "reads": "50 small results, each read",
    "matvec": "matrix × vector, 4096²",
    "rows": "log-sum-exp of 2,048 rows",
    "columns": "sum of 3,000 rows of 700",
    "argmax": "argmax over axis 0, 2048 × 1024",
    "variance": "mean + variance over axis 0",
    "embedding": "gradient of a table of 20,000 rows",
    "outersin": "sine of an outer sum, 4 M",
    "transposed": "a matrix and its transpose added",
}


def number(x):
    """Return milliseconds with three digits or so."""
    return f"{x:.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}"


def columns(rows, left):
    """Return rows as aligned lines; the first `left` columns are text."""
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            c.ljust(w) if i < left else c.rjust(w)
            for i, (c, w) in enumerate(zip(r, widths, strict=True))
        ).rstrip()
        for r in rows
    )


def measurements(out):
    """Return a line for each workload, mode and contender."""
    head = (
        "workload mode contender median min max cpu host cold pipelines dispatches submits err ok"
    )
    rows = [tuple(head.split())]
    for wid, modes in out["workloads"].items():
        for mode, found in modes.items():
            for name, e in found.items():
                counts, cold = e["counts"] or {}, e["cold_counts"] or {}
                ms = e["ms"]
                spent = number(e["cpu_ms"]["min"]) if e["cpu_ms"] else "-"
                rows.append(
                    (
                        *(wid, mode, name),
                        *map(number, (ms["median"], ms["min"], ms["max"])),
                        spent,
                        *map(number, (e["host_ms"], e["cold_ms"])),
                        str(cold.get("pipelines", "")),
                        str(counts.get("dispatches", "")),
                        str(counts.get("submits", "")),
                        f"{e['max_rel_err']:.0e}",
                        "yes" if e["correct"] else "NO",
                    )
                )
    return columns(rows, 3)


def best(out, wid, name):
    """Return (mode, record) of a contender's fastest correct mode, or None."""
    found = [
        (mode, records[name])
        for mode, records in out["workloads"].get(wid, {}).items()
        if name in records and records[name]["correct"]
    ]
    return min(found, key=lambda f: f[1]["ms"]["median"]) if found else None


def ratios(out):
    """Return tabgrad's time as a multiple of each peer's, mode by mode and best against best."""
    peers = [n for n in out["contenders"] if n != "tabgrad"]
    rows = [("tabgrad's median / peer's", "mode", *peers)]
    for wid, modes in out["workloads"].items():
        for mode, records in [*modes.items(), ("best", {})]:
            cells = []
            for peer in peers:
                if mode == "best":
                    mine, theirs = best(out, wid, "tabgrad"), best(out, wid, peer)
                    pair = (mine[1], theirs[1]) if mine and theirs else None
                else:
                    pair = (records.get("tabgrad"), records.get(peer))
                    pair = pair if all(pair) else None
                cells.append(
                    f"{pair[0]['ms']['median'] / pair[1]['ms']['median']:.2f}" if pair else "-"
                )
            if any(c != "-" for c in cells):
                rows.append((wid, mode, *cells))
    return columns(rows, 2)


def page_starts(out):
    """Return how long each page takes until it can compute."""
    parts = ("tImport", "tDevice", "tFirst", "wall")
    rows = [("page start, ms", "imported", "device", "first number", "from outside")]
    for name, times in out["page_start_ms"].items():
        cells = (number(times[p]["median"]) if times.get(p) else "-" for p in parts)
        rows.append((name, *cells))
    return columns(rows, 1)


def failures(out):
    """Return what went wrong; that a library has no jit is not told."""
    lines = []
    for f in out["failures"]:
        why = f.get("error") or f.get("wrong_value")
        if why:
            lines.append(
                f"{f['contender']} {f['workload']}/{f['mode']}: {' '.join(why.split())[:150]}"
            )
    return "\n".join(lines)


def rooflines(out):
    """Return what part of the adapter's peaks each contender reaches at best; nothing if they are unknown."""
    found = {}
    for wid, work in out["work"].items():
        ways = {n: best(out, wid, n) for n in out["contenders"]} if work else {}
        found[wid] = work, {n: f[1]["ms"]["median"] for n, f in ways.items() if f}
    if not out["peaks"] or not any(ways for _, ways in found.values()):
        return ""
    return roofline.title(out["peaks"]) + "\n" + columns(roofline.table(found, out["peaks"]), 2)


def everything(out):
    """Return all tables as text."""
    parts = [measurements(out), rooflines(out)]
    if len(out["contenders"]) > 1 and "tabgrad" in out["contenders"]:
        parts.append(ratios(out))
    parts += [page_starts(out), failures(out)]
    return "\n\n".join(p for p in parts if p)


def markdown(out):
    """Return the fastest correct mode of each contender as a Markdown table."""
    names = list(out["contenders"])
    lines = [
        "| ms (dispatches / submits) | " + " | ".join(out["contenders"][n] for n in names) + " |",
        "|---|" + "---|" * len(names),
    ]
    for wid, title in TITLES.items():
        if wid not in out["workloads"]:
            continue
        cells = []
        for name in names:
            found = best(out, wid, name)
            if found is None:
                wrong = any(name in r for r in out["workloads"].get(wid, {}).values())
                cells.append("wrong value" if wrong else "fails")
                continue
            mode, e = found
            counts = e["counts"]
            how = "" if mode == "eager" else ", compiled"
            where = f"({counts['dispatches']} / {counts['submits']}{how})"
            cells.append(f"{number(e['ms']['median'])} {where}")
        if wid in out["workloads"]:
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    starts = out["page_start_ms"]
    cells = (number(starts[n]["tFirst"]["median"]) for n in names)
    lines.append("| page start to the first number | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
