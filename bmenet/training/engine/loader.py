"""From a data set of whole batches to the batches of one process of a training."""

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bmenet.runtime.threads import use_one_thread

Batch = dict[str, Tensor]

_AHEAD = 24
"""Batches that a loader process keeps ready: a fresh case takes as long as many steps, which must not wait for it."""


def batch_loader(
    batches: Dataset[Batch], start: int, steps: int, workers: int, accelerator: Accelerator | None = None
) -> DataLoader[Batch]:
    """Load batches for training steps [start, steps), made ahead by `workers` processes.

    Of every step's batches, one a process of `accelerator`, this process gets its own.
    """
    rank, ranks = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    return DataLoader(
        batches,
        batch_size=None,
        sampler=range(start * ranks + rank, steps * ranks, ranks),
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_use_one_thread,
    )


def _use_one_thread(_worker: int) -> None:
    use_one_thread()
