"""What a run of the benchmark found, as one JSON value."""

import statistics
import time


def summary(xs):
    """Return the median, the extremes and the number of `xs`, None for none."""
    if not xs:
        return None
    return {
        "median": round(statistics.median(xs), 3),
        "min": round(min(xs), 3),
        "max": round(max(xs), 3),
        "n": len(xs),
    }


def page_start(pages):
    """Return how long a contender's pages took to be ready."""
    return {
        k: summary([p[k] for p in pages if isinstance(p.get(k), (int, float))])
        for k in ("tImport", "tDevice", "tFirst", "wall")
    }


def entry(rec, tol):
    """Return what was measured of a contender in one workload and mode."""
    e = {
        "ms": summary(rec["ms"]),
        "cpu_ms": summary(rec.get("cpu", [])),
        "host_ms": summary(rec["host"])["median"],
        "cold_ms": summary(rec["cold"])["median"],
        "counts": rec.get("counts"),
        "samples_by_round": list(rec["rounds"].values()),
        "cold_counts": rec.get("cold_counts"),
        "max_rel_err": float(f"{rec['err']:.3g}"),
        "values_checked": rec["checked"],
    }
    if "checksum_err" in rec:
        e["checksum_rel_err"] = float(f"{rec['checksum_err']:.3g}")
    e["correct"] = rec["err"] < tol and rec.get("checksum_err", 0) < tol
    return e


def failures(rec, e):
    """Yield what went wrong in one workload and mode; `e` is its entry, if it was measured."""
    for kind in ("error", "unsupported"):
        if kind in rec:
            yield {kind: rec[kind]}
    if e and not e["correct"]:
        wrong = "checksum"
        if "worst" in rec:
            read, expected, unit = rec["worst"]
            wrong = f"read {read:.7g}, expected {expected:.7g} (unit {unit})"
        yield {"wrong_value": wrong}


def ratios(modes, names):
    """Return the medians of the other contenders over those of the first, in each mode and at best."""
    base = names[0]
    best = {}
    for mode, found in modes.items():
        for n, e in found.items():
            if n not in best or e["ms"]["median"] < best[n][1]:
                best[n] = (mode, e["ms"]["median"])
    row = {}
    for n in names[1:]:
        if n in best and base in best:
            row[f"{n}/{base} best"] = round(best[n][1] / best[base][1], 3)
            row[f"{n} best mode"] = best[n][0]
        for mode, found in modes.items():
            if n in found and base in found:
                ratio = found[n]["ms"]["median"] / found[base]["ms"]["median"]
                row[f"{n}/{base} {mode}"] = round(ratio, 3)
    return row


def report(run, names, contenders):
    """Return everything about a finished run."""
    out = {
        "contenders": {n: contenders[n].get("version", n) for n in names},
        "rounds": run.a.rounds,
        "adapter": run.a.adapter,
        "load_at_round_start": run.load,
        "peaks": run.peaks,
        "work": run.work,
        "page_start_ms": {n: page_start(run.cold_page.get(n, [])) for n in names},
        "workloads": {},
        "failures": [],
        "ratios": {},
    }
    for wid, modes in run.data.items():
        for mode, recs in modes.items():
            for n, rec in recs.items():
                e = entry(rec, run.a.tol) if rec["ms"] else None
                if e:
                    out["workloads"].setdefault(wid, {}).setdefault(mode, {})[n] = e
                where = {"contender": n, "workload": wid, "mode": mode}
                out["failures"] += [{**where, **why} for why in failures(rec, e)]
    out["ratios"] = {wid: ratios(modes, names) for wid, modes in out["workloads"].items()}
    out["wall_s"] = round(time.time() - run.t0, 1)
    return out
