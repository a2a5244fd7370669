"""What each process that `distributed.run` starts is at first: it gives itself torchrun's variables.

`mpiexec` says who a process is in variables of its own. Scripts read LOCAL_RANK before they call
`init_process_group`. This file is run by its path, imports nothing of tabgrad, and becomes the program.
"""

from __future__ import annotations

import os
import sys

NAMES = {
    "RANK": ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_PROCID"),
    "WORLD_SIZE": ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS"),
    "LOCAL_RANK": ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"),
    "LOCAL_WORLD_SIZE": ("OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"),
}


def told() -> dict[str, str]:
    """Return torchrun's variables for this process: one machine, so the local ones are those of the world."""
    found = {}
    for name, others in NAMES.items():
        values = [os.environ[other] for other in others if other in os.environ]
        if values:
            found[name] = values[0]
    found.setdefault("LOCAL_RANK", found.get("RANK", "0"))
    found.setdefault("LOCAL_WORLD_SIZE", found.get("WORLD_SIZE", "1"))
    found |= {"GROUP_RANK": "0", "GROUP_WORLD_SIZE": "1"}
    found |= {"ROLE_RANK": found.get("RANK", "0"), "ROLE_WORLD_SIZE": found.get("WORLD_SIZE", "1")}
    return found


if __name__ == "__main__":
    os.environ.update(told())
    os.execvp(sys.argv[1], sys.argv[1:])
