"""ONNX Runtime's execution providers on this machine, and where TensorRT's engines are kept."""

import ctypes
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from bmenet.runtime.errors import BMENetError

Provider = Literal["tensorrt", "cuda", "cpu"]

PROVIDERS: dict[Provider, str] = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""Name to ONNX Runtime's name."""

CACHE_VARIABLE = "BMENET_CACHE"
_TENSORRT_LIBRARY = "libnvinfer.so.10"


def choose_providers(wanted: Sequence[str]) -> list[Provider]:
    """Return those of the wanted providers that work here, in the order given.

    BMENetError if a name is unknown, or none of them works here.
    """
    if unknown := [name for name in wanted if name not in PROVIDERS]:
        raise BMENetError(f"providers: expected some of {', '.join(get_args(Provider))}; got {', '.join(unknown)}")
    reasons = {name: why_not(name) for name in wanted}
    if chosen := [name for name, reason in reasons.items() if reason is None]:
        return chosen  # type: ignore[return-value]
    told = "; ".join(f"{name}: {reason}" for name, reason in reasons.items()) or "none was named"
    raise BMENetError(f"providers: expected one that works on this machine ({told}); add cpu")


@cache
def why_not(provider: Provider) -> str | None:
    """Return why a provider does not work here, None where it does.

    Asked before ONNX Runtime, which prints errors about a provider that it cannot start.
    """
    import onnxruntime

    if provider == "cpu":
        return None
    if not gpu_names():
        return "no NVIDIA GPU"
    if PROVIDERS[provider] not in onnxruntime.get_available_providers():
        return "this onnxruntime was built without it; install onnxruntime-gpu"
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # from the packages that torch brings, where there are any
    if provider == "tensorrt" and _library(_TENSORRT_LIBRARY) is None:
        return f"TensorRT's libraries ({_TENSORRT_LIBRARY}) were not found; install TensorRT 10"
    return None


@cache
def gpu_names() -> tuple[str, ...]:
    """Return the names of the NVIDIA GPUs, from the driver: no library of CUDA is needed."""
    driver, count = _library("libcuda.so.1"), ctypes.c_int()
    if driver is None or driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return ()
    names = []
    for index in range(count.value):
        device, name = ctypes.c_int(), ctypes.create_string_buffer(128)
        if not driver.cuDeviceGet(ctypes.byref(device), index) and not driver.cuDeviceGetName(name, 128, device):
            names.append(name.value.decode(errors="replace"))
    return tuple(names)


def engine_folder(digest: str, precision: str) -> Path:
    """Return the folder of a bundle's TensorRT engines, in ``BMENET_CACHE`` or the user's cache.

    An engine can be loaded by the GPU, the versions and the bundle (its digest) that it was built for, by no others.
    """
    import onnxruntime

    cache_folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = os.environ.get(CACHE_VARIABLE) or Path(cache_folder) / "bmenet"
    gpu = re.sub(r"[^A-Za-z0-9]+", "-", gpu_names()[0] if gpu_names() else "no-gpu").strip("-")
    versions = f"trt-{_tensorrt_version()}_ort-{onnxruntime.__version__}"
    return Path(root) / "tensorrt" / f"{gpu}_{versions}" / f"{digest[:16]}-{precision}"


@cache
def _tensorrt_version() -> str:
    with suppress(AttributeError):  # without the library, or an older one
        return str(_library(_TENSORRT_LIBRARY).getInferLibVersion())  # type: ignore[union-attr]
    return "none"


def _library(name: str) -> ctypes.CDLL | None:
    """Return a dynamic library, None where the linker finds none."""
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None
