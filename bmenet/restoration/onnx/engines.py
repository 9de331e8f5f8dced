"""Where TensorRT's engines are kept: one folder for each GPU, version and bundle, for nothing else may load them."""

import os
import re
from functools import cache
from pathlib import Path

from bmenet.restoration.onnx.providers import TENSORRT_LIBRARY, gpu_names

CACHE_VARIABLE = "BMENET_CACHE"


def cache_folder() -> Path:
    """Return the folder of what can be made again: ``BMENET_CACHE``, else ``bmenet`` in the user's cache."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bmenet"


def engine_folder(digest: str, precision: str) -> Path:
    """Return the folder of a bundle's engines on this machine's first GPU.

    Parameters
    ----------
    digest : str
        Of the bundle.
    precision : str
    """
    import onnxruntime

    gpu = re.sub(r"[^A-Za-z0-9]+", "-", gpu_names()[0] if gpu_names() else "no-gpu").strip("-")
    return (
        cache_folder()
        / "tensorrt"
        / f"{gpu}_trt-{_tensorrt_version()}_ort-{onnxruntime.__version__}"
        / (f"{digest[:16]}-{precision}")
    )


@cache
def _tensorrt_version() -> str:
    """Return TensorRT's version as its library tells it."""
    import ctypes

    try:
        return str(ctypes.CDLL(TENSORRT_LIBRARY).getInferLibVersion())
    except (OSError, AttributeError):
        return "none"
