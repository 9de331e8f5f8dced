"""The context in which networks compute in a number format of their own."""

import torch


def autocast(device: torch.device | str, dtype: torch.dtype) -> torch.autocast:
    """Return the context in which networks on `device` compute in `dtype`; for float32 it changes nothing."""
    return torch.autocast(torch.device(device).type, dtype=dtype, enabled=dtype != torch.float32)
