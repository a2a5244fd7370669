"""One rank does something wrong; each other prints the error it gets and after how long."""

from __future__ import annotations

import datetime
import os
import signal
import sys
import time

import tabgrad as tg
import tabgrad.distributed as dist

KIND = sys.argv[1]
# what is found by itself, not at the deadline, has a distant one
DEADLINE = {"killed": 2.0, "late": 2.0, "message": 2.0, "late start": 2.0, "outlives": 1.0}.get(
    KIND, 20.0
)
tg.set_default_device("cpu")
RANK = dist.environment.told_rank()
began = time.monotonic()
if KIND == "late start" and RANK == 1:
    time.sleep(DEADLINE + 2)
# cores that are busy start the processes one after the other
start = datetime.timedelta(seconds=DEADLINE if KIND == "late start" else 20)
try:
    dist.init_process_group("mpi", timeout=start)
except dist.DistBackendError as failed:
    print(f"rank {RANK} got it after {time.monotonic() - began:.2f} s: {failed}", flush=True)
    time.sleep(1)  # mpiexec ends the others when one has ended
    raise
dist.group.WORLD.timeout = DEADLINE


def go_wrong() -> None:
    if KIND == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif KIND == "late":
        time.sleep(DEADLINE + 1.5)
    elif KIND == "raises":
        raise KeyError("a mistake of rank 1")
    elif KIND in ("leaves", "gone"):
        sys.exit(0)
    elif KIND == "shape":
        dist.all_reduce(tg.ones(2, 3))
    elif KIND == "dtype":
        dist.all_reduce(tg.ones(4, dtype=tg.int32))
    elif KIND == "groups":
        dist.new_group([0])
    elif KIND == "sizes":
        dist.all_to_all([tg.ones(3)] * 3, [tg.ones(3)] * 3)
    elif KIND == "order":
        dist.broadcast(tg.ones(4), src=0)
        dist.all_reduce(tg.ones(4))


began = time.monotonic()
try:
    dist.barrier()
    began = time.monotonic()
    if RANK == 1 and KIND != "message":
        go_wrong()
    elif KIND == "message":
        if RANK != 1:
            dist.recv(tg.ones(4), src=1)
        time.sleep(DEADLINE + 0.5)
    elif KIND == "gone":
        dist.recv(tg.ones(4), src=1)
    elif KIND == "groups":
        dist.new_group([0, 1])
    elif KIND == "sizes":
        dist.all_to_all([tg.ones(2)] * 3, [tg.ones(2)] * 3)
    dist.all_reduce(tg.ones(4))
    if KIND == "outlives":
        if RANK == 0:
            time.sleep(3.5 * DEADLINE)
        elif os.fork() == 0:
            sys.exit(0)  # it is none of the processes, and says nothing
        print(f"rank {RANK} has worked to its end", flush=True)
except dist.DistBackendError as error:
    print(f"rank {RANK} got it after {time.monotonic() - began:.2f} s: {error}", flush=True)
    sys.exit(1)
