"""How many threads this process may use."""

import os
import sys

import joblib

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)
"""What numeric libraries read when they are loaded."""


def thread_count() -> int:
    """Return ``OMP_NUM_THREADS``, or the number of cores this process may use."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdecimal() and int(text) > 0 else joblib.cpu_count()


def use_one_thread() -> None:
    """Keep every numeric library of this process to one thread: several pools on shared cores slow one another."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
