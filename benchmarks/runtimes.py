"""Speed and memory of the runtimes side by side: `python -m benchmarks.runtimes BUNDLE [--runs N] [--coarse]`.

Needs no data: the MNI152 template with noise is restored. Every runtime has a process of its own, so that its memory is
its own; what this machine lacks is named with the reason.
"""

import argparse
import multiprocessing
import resource
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.timing import median_seconds
from bmenet.networks.compute import fastest_dtype
from bmenet.release.export.parity import noisy_head
from bmenet.restoration import Enhancer
from bmenet.restoration.bundle import Bundle, open_bundle
from bmenet.restoration.bundle.manifest import Precision
from bmenet.restoration.providers import Provider, why_not
from bmenet.restoration.torch_networks import TorchNetworks


@dataclass(frozen=True)
class Variant:
    """A way to run a bundle.

    Parameters
    ----------
    name : str
    provider : {"tensorrt", "cuda", "cpu"}, optional
        Of ONNX Runtime; None: torch.
    precision : {"fp32", "fp16"}
        Of ONNX Runtime's graphs; for torch fp32, or the device's fastest for fp16.
    is_compiled : bool
        torch.compile.
    """

    name: str
    provider: Provider | None = None
    precision: Precision = "fp32"
    is_compiled: bool = False


VARIANTS = (
    Variant("torch, float32"),
    Variant("torch, fastest format", precision="fp16"),
    Variant("torch.compile, fastest format", precision="fp16", is_compiled=True),
    Variant("ONNX Runtime CPU, float32", "cpu"),
    Variant("ONNX Runtime CUDA, float32", "cuda"),
    Variant("ONNX Runtime CUDA, float16", "cuda", "fp16"),
    Variant("TensorRT, float32", "tensorrt"),
    Variant("TensorRT, float16", "tensorrt", "fp16"),
)


def main() -> None:
    """Time every variant that works here and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path, help="as `bmenet export` writes it")
    parser.add_argument("--runs", type=int, default=2, help="timed runs of each, after one that is not counted")
    parser.add_argument("--coarse", action="store_true", help="the first stage alone")
    arguments = parser.parse_args()
    bundle = open_bundle(arguments.bundle)
    console = Console(width=120)
    table = Table(title=f"{bundle.manifest.spacing_mm} mm, {torch.get_num_threads()} threads, second stage: one sample")
    for name in ("runtime", "first run s", "coarse s", "fine s", "peak GiB"):
        table.add_column(name, justify="left" if name == "runtime" else "right")
    for variant in VARIANTS:
        if variant.provider is not None and (reason := why_not(variant.provider)):
            table.add_row(variant.name, f"skipped: {reason}")
            continue
        with console.status(variant.name), multiprocessing.get_context("spawn").Pool(1) as pool:
            try:
                row = pool.apply(_measure, (variant, bundle, arguments.runs, arguments.coarse))
            except Exception as error:
                table.add_row(variant.name, f"failed: {' '.join(str(error).split())[:60]}")
                continue
        table.add_row(variant.name, *(f"{value:.1f}" if value is not None else "" for value in row))
    console.print(table)


def _measure(variant: Variant, bundle: Bundle, runs: int, is_coarse: bool) -> tuple[float | None, ...]:
    """Return seconds of the first run and of the later ones by stage, and the peak memory of this process in GiB."""
    enhancer, head = _load(variant, bundle), noisy_head(bundle)
    first_stage = replace(enhancer, fine=None)
    coarse = head.with_data(first_stage.restore(head).data)
    has_fine = enhancer.fine is not None and not is_coarse
    sampling = enhancer.sampling.model_copy(update={"samples": 1})

    def fine() -> object:
        assert enhancer.fine is not None
        return enhancer.fine.restore(coarse.data, sampling)

    start = time.perf_counter()
    if has_fine:
        fine()
    first_s = time.perf_counter() - start
    coarse_s = median_seconds(lambda: first_stage.restore(head), runs)
    fine_s = median_seconds(fine, runs) if has_fine else None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return first_s if has_fine else None, coarse_s, fine_s, peak


def _load(variant: Variant, bundle: Bundle) -> Enhancer:
    """Return the enhancer that a variant stands for."""
    stage: Any = "fine" if bundle.has_fine else "coarse"
    if variant.provider is not None:
        providers = list(dict.fromkeys([variant.provider, "cuda", "cpu"])) if variant.provider != "cpu" else ["cpu"]
        return Enhancer.from_bundle(bundle, stage, "onnx", providers=providers, precision=variant.precision)
    enhancer = Enhancer.from_bundle(bundle, stage, "torch")
    dtype = torch.float32 if variant.precision == "fp32" else fastest_dtype(enhancer.device)
    enhancer = replace(enhancer, coarse=replace(enhancer.coarse, dtype=dtype))
    if enhancer.fine is not None:
        networks = replace(cast(TorchNetworks, enhancer.fine.networks), dtype=dtype)
        enhancer = replace(enhancer, fine=replace(enhancer.fine, networks=networks))
    if variant.is_compiled:
        enhancer.coarse.network.compile(dynamic=False)
        if enhancer.fine is not None:
            for part in (networks.autoencoder, networks.edge_autoencoder):
                part.network.encoder.compile(dynamic=False)
                part.network.decoder.compile(dynamic=False)
            networks.denoiser.compile(dynamic=False)
            networks.control.compile(dynamic=False)
    return enhancer


if __name__ == "__main__":
    main()
