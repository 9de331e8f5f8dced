"""Export, compare, build engines: the work of the stage `export` and of the command of the same name."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from bmenet.config import Config
from bmenet.data.layout import Layout
from bmenet.networks.fine_weights import KINDS
from bmenet.release.export.graphs import slice_shapes
from bmenet.release.export.parity import MIN_PSNR_DB, Parity, measure_parity, measure_rounding
from bmenet.release.export.write import add_texts, new_folder, write_bundle
from bmenet.restoration.bundle import Bundle, Graph
from bmenet.restoration.bundle.manifest import Precision
from bmenet.restoration.onnx.providers import why_not
from bmenet.restoration.onnx.session import open_sessions
from bmenet.runtime.errors import BMENetError, WeightsError
from bmenet.tracking.lineage import code_tags, input_hashes

_MEGABYTE = 1e6
_SLICES = 8
"""Batch of slices that a volume is restored in: engines have fixed shapes."""


@dataclass(frozen=True)
class Exported:
    """A bundle, the differences of its graphs from torch, and of its weights from those that were trained.

    Parameters
    ----------
    bundle : Bundle
    parity : list of Parity
    rounding_db : dict
        Stage to the PSNR of its result with stored weights about that with trained ones; empty where they are the same.
    """

    bundle: Bundle
    parity: list[Parity]
    rounding_db: dict[str, float] = field(default_factory=dict)

    def metrics(self) -> dict:
        """Return sizes, the largest errors and the effect of rounding, for a metrics file."""
        graphs = self.bundle.manifest.graphs
        precisions = sorted({row.precision for row in self.parity})
        return {
            "bundle_megabytes": self.bundle.total_bytes / _MEGABYTE,
            "onnx_megabytes": {
                precision: self._megabytes(*(graph.path for graph in graphs[precision].values()))
                for precision in precisions
            },
            "weights_megabytes": self._megabytes("weights/"),
            "error": {
                precision: {row.graph: row.error for row in self.parity if row.precision == precision}
                for precision in precisions
            },
            **({"rounding_psnr_db": self.rounding_db} if self.rounding_db else {}),
        }

    def table(self) -> str:
        """Return the comparisons as CSV."""
        return pd.DataFrame([asdict(row) for row in self.parity]).to_csv(index=False, float_format="%.3g")

    def require_agreement(self) -> None:
        """Refuse a bundle whose results differ from those of torch and of the trained weights.

        Raises
        ------
        WeightsError
        """
        refused = f"{self.bundle.folder.name}: nothing was written: "
        if worse := [row for row in self.parity if not row.is_kept]:
            told = "; ".join(f"{row.graph} {row.precision}: {row.error:.1e} > {row.tolerance:.0e}" for row in worse)
            raise WeightsError(
                f"{refused}expected graphs that agree with torch; got larger differences ({told}); export with the"
                " versions in constraints.txt"
            )
        if lower := {stage: value for stage, value in self.rounding_db.items() if value < MIN_PSNR_DB}:
            told = "; ".join(f"{stage}: {value:.1f} dB" for stage, value in lower.items())
            raise WeightsError(
                f"{refused}expected rounded weights to give the trained ones' result to {MIN_PSNR_DB:g} dB; got {told};"
                " set export.storage to fp32"
            )

    def _megabytes(self, *places: str) -> float:
        """Return the size of the files whose paths begin so: a folder's, or a graph's with the weights beside it."""
        files = self.bundle.manifest.files
        return sum(file.bytes for name, file in files.items() if name.startswith(places)) / _MEGABYTE


def export(
    weights: Path,
    folder: Path,
    config: Config,
    lineage: dict[str, str],
    tell: Callable[[str], None] = lambda _: None,
    documents: Callable[[Exported], Mapping[str, str]] = lambda _: {},
) -> Exported:
    """Write a bundle and compare its graphs with torch, and rounded weights with those that were trained.

    Parameters
    ----------
    weights : Path
        The folder of the networks' folders.
    folder : Path
        Of the bundle; an older bundle there is replaced when the new one is good.
    config : Config
        Its sections `export` and `sampling`.
    lineage : dict
    tell : callable, optional
        Called with the name of each step.
    documents : callable, optional
        Returns name to text of files that go into the bundle; if it raises, nothing is written.

    Raises
    ------
    WeightsError
        If weights are missing, a graph differs from torch by more than its tolerance, or rounding changes a result
        visibly: see `write_bundle`, `Exported.require_agreement`. The older bundle stays.
    """
    folder = folder.resolve()
    with new_folder(folder) as new:
        bundle = write_bundle(weights, new, config.export, config.sampling, lineage, lambda name: tell(f"write {name}"))
        parity = measure_parity(bundle, list(bundle.manifest.graphs), lambda name: tell(f"compare {name}"))
        is_rounded = config.export.storage == "fp16"
        rounding = measure_rounding(weights, bundle, lambda name: tell(f"restore {name}")) if is_rounded else {}
        exported = Exported(bundle, parity, rounding)
        exported.require_agreement()
        if texts := documents(exported):
            bundle = add_texts(bundle, texts)
    return replace(exported, bundle=replace(bundle, folder=folder))


def skipped() -> str | None:
    """Return ``skipped: no GPU``, or another reason why engines cannot be built here; None where they can."""
    reason = why_not("tensorrt")
    return None if reason is None else f"skipped: {'no GPU' if reason == 'no NVIDIA GPU' else reason}"


def build_engines(
    bundle: Bundle, precision: Precision, tell: Callable[[str], None] = lambda _: None
) -> dict[str, float]:
    """Build the engine of every graph, or load it where it was built before; return the seconds each took.

    Parameters
    ----------
    bundle : Bundle
    precision : {"fp32", "fp16"}
    tell : callable, optional
        Called with the name of each engine before it is built.

    Raises
    ------
    BMENetError
        If this machine cannot build engines, or their folder cannot be written.
    """
    if (reason := skipped()) is not None:
        raise BMENetError(f"expected a machine with TensorRT; {reason}")
    sessions = open_sessions(bundle, precision, ("tensorrt", "cuda", "cpu"))
    seconds = {}
    for name, graph in bundle.manifest.graphs["fp32"].items():
        for feed in example_inputs(graph, bundle.manifest.grid_shape):
            label = f"{name} {'x'.join(map(str, next(iter(feed.values())).shape))}"
            tell(label)
            start = time.perf_counter()
            sessions.run(name, feed)
            seconds[label] = time.perf_counter() - start
    return seconds


def example_inputs(graph: Graph, grid_shape: tuple[int, int, int]) -> list[dict[str, Tensor]]:
    """Return zeros of every shape that a graph is called with: one, or one a plane for a graph of slices."""
    if all(isinstance(extent, int) for tensor in graph.inputs for extent in tensor.shape):
        return [{tensor.name: _zeros(tensor.shape, tensor.dtype) for tensor in graph.inputs}]
    (slab,) = graph.inputs
    fixed = [extent if isinstance(extent, int) else None for extent in slab.shape[2:]]
    return [
        {slab.name: _zeros([_SLICES, slab.shape[1], *shape], slab.dtype)}
        for shape in sorted(set(slice_shapes(grid_shape).values()))
        if all(extent in (None, here) for extent, here in zip(fixed, shape, strict=True))
    ]


def _zeros(shape: list, dtype: str) -> Tensor:
    return torch.zeros(shape, dtype=getattr(torch, dtype))


def bundle_inputs(layout: Layout) -> list[Path]:
    """Return the files and folders of a workspace that a bundle comes from."""
    data = [layout.registered, layout.degraded_folder, layout.split]
    return [*data, *(layout.weights(kind) for kind in ("coarse", *KINDS))]


def bundle_lineage(config: Config, layout: Layout) -> dict[str, str]:
    """Return profile, data source, git commit and the DVC hashes of data and weights; no person, no machine's path."""
    commit = code_tags()
    return {
        "profile": config.profile,
        "data.source": config.data.source,
        "degradation.severity": config.degradation.severity,
        "seed": str(config.seed),
        **({"git.commit": commit["mlflow.source.git.commit"], "git.dirty": commit["git.dirty"]} if commit else {}),
        **{f"dvc.md5.{path}": md5 for path, md5 in input_hashes(bundle_inputs(layout)).items()},
    }
