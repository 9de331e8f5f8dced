"""Where networks run."""

import torch

from bmenet.runtime.errors import BMENetError


def choose_device(name: str) -> torch.device:
    """Return the device that ``cpu``, ``cuda`` or ``auto`` stands for.

    Raises
    ------
    BMENetError
        If it is ``cuda`` and torch finds none.
    """
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise BMENetError("expected a GPU that torch can use (device cuda); got none; choose cpu or auto")
    return torch.device(("cuda" if has_gpu else "cpu") if name == "auto" else name)
