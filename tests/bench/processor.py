"""The processor time that a browser has taken, to which other work on the machine adds nothing."""

import os
import pathlib

PROC = pathlib.Path("/proc")


def processes():
    """Yield (id, parent, seconds) of each process; nothing where there is no /proc."""
    tick = os.sysconf("SC_CLK_TCK") if PROC.is_dir() else 1
    for place in PROC.glob("[0-9]*/stat"):
        try:
            text = place.read_text()
        except OSError:  # it has ended
            continue
        # the name, in parentheses, may hold anything
        fields = text[text.rindex(")") + 2 :].split()
        yield int(place.parent.name), int(fields[1]), (int(fields[11]) + int(fields[12])) / tick


def root(mark):
    """Return the process that has `mark` among its arguments, None if there is none."""
    for place in PROC.glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in place.read_bytes().split(b"\0"):
                return int(place.parent.name)
        except OSError:
            continue
    return None


def seconds(top):
    """Return the processor time of a process and all below it."""
    found = {pid: (parent, spent) for pid, parent, spent in processes()}
    total, inside = 0.0, {top}
    grown = True
    while grown:
        new = {pid for pid, (parent, _) in found.items() if parent in inside} - inside
        inside |= new
        grown = bool(new)
    for pid in inside:
        total += found.get(pid, (0, 0.0))[1]
    return total
