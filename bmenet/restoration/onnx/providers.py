"""Which of ONNX Runtime's execution providers this machine really has: asked before ONNX Runtime complains."""

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Literal, get_args

from bmenet.runtime.errors import BMENetError

Provider = Literal["tensorrt", "cuda", "cpu"]

PROVIDERS: dict[Provider, str] = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""Name to ONNX Runtime's name."""


TENSORRT_LIBRARY = "libnvinfer.so.10"


def choose_providers(wanted: Sequence[str]) -> list[Provider]:
    """Return, of the providers in the order they are wanted, those that work here.

    Raises
    ------
    BMENetError
        If a name is unknown, or none of them works here.
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
    """Return why a provider does not work here, None where it does."""
    import onnxruntime

    if provider == "cpu":
        return None
    if not gpu_names():
        return "no NVIDIA GPU"
    if PROVIDERS[provider] not in onnxruntime.get_available_providers():
        return "this onnxruntime was built without it; install onnxruntime-gpu"
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # from the packages that torch brings, where there are any
    if provider == "tensorrt" and not _loads(TENSORRT_LIBRARY):
        return f"TensorRT's libraries ({TENSORRT_LIBRARY}) were not found; install TensorRT 10"
    return None


@cache
def gpu_names() -> tuple[str, ...]:
    """Return the names of the NVIDIA GPUs, asked of the driver: no library of CUDA is needed."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return ()
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return ()
    names = []
    for index in range(count.value):
        device, name = ctypes.c_int(), ctypes.create_string_buffer(128)
        if not driver.cuDeviceGet(ctypes.byref(device), index) and not driver.cuDeviceGetName(name, 128, device):
            names.append(name.value.decode(errors="replace"))
    return tuple(names)


def _loads(library: str) -> bool:
    """Tell whether the dynamic linker finds a library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
