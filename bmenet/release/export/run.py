"""Export, compare, build engines: the work of the stage `export` and of the command of the same name."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import pandas as pd

from bmenet.config import Config
from bmenet.data.layout import Layout
from bmenet.data.names import dataset_of
from bmenet.networks.coarse import COARSE, first_stage_folders
from bmenet.networks.fine_weights import KINDS
from bmenet.release.export.parity import MIN_PSNR_DB, Parity, measure_parity, measure_rounding, noisy_head
from bmenet.release.export.write import add_texts, new_folder, write_bundle
from bmenet.restoration.bundle import Bundle
from bmenet.restoration.bundle.manifest import Precision
from bmenet.restoration.enhancer import Enhancer
from bmenet.restoration.providers import why_not
from bmenet.runtime.errors import BMENetError, WeightsError
from bmenet.runtime.files import read_json
from bmenet.tracking.lineage import code_tags, input_hashes

_MEGABYTE = 1e6


@dataclass(frozen=True)
class Exported:
    """A bundle, the differences of its graphs from torch, and of its weights from those that were trained.

    `rounding_db` is stage to the PSNR of its result with stored weights about that with trained ones; empty where they
    are the same.
    """

    bundle: Bundle
    parity: list[Parity]
    rounding_db: dict[str, float] = field(default_factory=dict)

    def metrics(self) -> dict:
        """Return sizes, the largest errors and the effect of rounding, for a metrics file."""
        megabytes, errors = {}, {}
        for precision in sorted({row.precision for row in self.parity}):
            graphs = self.bundle.manifest.graphs[precision].values()
            megabytes[precision] = self._megabytes(*(graph.path for graph in graphs))
            errors[precision] = {row.graph: row.error for row in self.parity if row.precision == precision}
        return {
            "bundle_megabytes": self.bundle.total_bytes / _MEGABYTE,
            "onnx_megabytes": megabytes,
            "weights_megabytes": self._megabytes("weights/"),
            "error": errors,
            **({"rounding_psnr_db": self.rounding_db} if self.rounding_db else {}),
        }

    def table(self) -> str:
        """Return the comparisons as CSV."""
        return pd.DataFrame([asdict(row) for row in self.parity]).to_csv(index=False, float_format="%.3g")

    def require_agreement(self) -> None:
        """Refuse, with a WeightsError, a bundle whose results differ from those of torch and of the trained weights."""
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
        See `bundle_lineage`.
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
    """Restore a head with TensorRT, which builds and keeps the engine of every graph at every shape of a volume.

    Engines that were built before are loaded. Returns stage to seconds; `tell` is called with the name of each stage.

    Raises
    ------
    BMENetError
        If this machine cannot build engines, or their folder cannot be written.
    """
    if (reason := skipped()) is not None:
        raise BMENetError(f"expected a machine with TensorRT; {reason}")
    stage: Literal["coarse", "fine"] = "fine" if bundle.has_fine else "coarse"
    providers = ("tensorrt", "cuda", "cpu")
    enhancer = Enhancer.from_bundle(bundle, stage, "onnx", providers=providers, precision=precision)
    head = noisy_head(bundle)
    seconds: dict[str, float] = {}
    for name, runner in {"coarse": replace(enhancer, fine=None), stage: enhancer}.items():
        tell(name)
        start = time.perf_counter()
        runner.restore(head)
        seconds[name] = time.perf_counter() - start
    return seconds


def bundle_inputs(layout: Layout) -> list[Path]:
    """Return the files and folders of a workspace that a bundle comes from."""
    data = [layout.registered, layout.degraded_folder, layout.split]
    return [*data, *first_stage_folders(layout.weights(COARSE)), *map(layout.weights, KINDS)]


def bundle_lineage(config: Config, layout: Layout) -> dict[str, str]:
    """Return profile, data sets, git commit and the DVC hashes of data and weights; no person, no machine's path."""
    commit = code_tags()
    subjects = read_json(layout.split).get("covariates", {}) if layout.split.is_file() else {}
    datasets = set(map(dataset_of, subjects)) - {""}
    return {
        "profile": config.profile,
        **({"data.sets": ", ".join(sorted(datasets))} if datasets else {}),
        "degradation.severity": config.degradation.severity,
        "seed": str(config.seed),
        **({"git.commit": commit["mlflow.source.git.commit"], "git.dirty": commit["git.dirty"]} if commit else {}),
        **{f"dvc.md5.{path}": md5 for path, md5 in input_hashes(bundle_inputs(layout)).items()},
    }
