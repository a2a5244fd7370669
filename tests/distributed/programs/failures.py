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
DEADLINE = 2.0
tg.set_default_device("cpu")
dist.init_process_group("mpi", timeout=datetime.timedelta(seconds=DEADLINE))
RANK = dist.get_rank()


def go_wrong() -> None:
    if KIND == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif KIND == "late":
        time.sleep(DEADLINE + 1.5)
    elif KIND == "raises":
        raise KeyError("a mistake of rank 1")
    elif KIND == "leaves":
        sys.exit(0)
    elif KIND == "shape":
        dist.all_reduce(tg.ones(2, 3))
    elif KIND == "dtype":
        dist.all_reduce(tg.ones(4, dtype=tg.int32))
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
    dist.all_reduce(tg.ones(4))
except dist.DistBackendError as error:
    print(f"rank {RANK} got it after {time.monotonic() - began:.2f} s: {error}", flush=True)
    sys.exit(1)
