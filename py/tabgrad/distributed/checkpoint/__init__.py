"""Checkpoints of several processes: each writes a part, and any number of processes reads them.

A checkpoint is a folder: a file of each process, and `.metadata`, which says what is in which. It is written
last, so that an interrupted save leaves the checkpoint before it as it was. The files are tabgrad's own, not
PyTorch's.
"""

from tabgrad.distributed.checkpoint.loading import load as load, load_state_dict as load_state_dict
from tabgrad.distributed.checkpoint.saving import save as save, save_state_dict as save_state_dict
from tabgrad.distributed.checkpoint.storage import (
    CheckpointException as CheckpointException,
    FileSystemReader as FileSystemReader,
    FileSystemWriter as FileSystemWriter,
    Metadata as Metadata,
    Stateful as Stateful,
)
