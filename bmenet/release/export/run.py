"""Export, check, tell: what the stage `export` and the command of the same name do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bmenet.config import Config
from bmenet.release.export.parity import Parity, measure_parity
from bmenet.release.export.rounding import MIN_PSNR_DB, measure_rounding
from bmenet.release.export.write import write_bundle
from bmenet.restoration.bundle import Bundle
from bmenet.runtime.errors import WeightsError

_MEGABYTE = 1e6


@dataclass(frozen=True)
class Exported:
    """A bundle, how far its graphs are from torch, and what rounding its weights changed.

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
        """Return sizes, the largest errors and what rounding changed, for a metrics file."""
        precisions = sorted({row.precision for row in self.parity})
        return {
            "bundle_megabytes": self.bundle.total_bytes / _MEGABYTE,
            "onnx_megabytes": {
                precision: self._megabytes(*(graph.path for graph in self.bundle.manifest.graphs[precision].values()))
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
        lines = ["graph,precision,error,mean_error,tolerance,torch_seconds,onnx_seconds"]
        lines += [
            f'"{row.graph}",{row.precision},{row.error:.2e},{row.mean_error:.2e},{row.tolerance:.0e},'
            f"{row.torch_seconds:.3f},{row.onnx_seconds:.3f}"
            for row in self.parity
        ]
        return "\n".join(lines) + "\n"

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
        Of the bundle.
    config : Config
        Its sections `export` and `sampling`.
    lineage : dict
    tell : callable, optional
        Told what is being done.
    documents : callable, optional
        Given what was measured, returns name to text of files that go into the bundle; may raise, and nothing is
        written.

    Raises
    ------
    WeightsError
        If weights are missing, a graph differs from torch by more than its tolerance, or rounding the weights changes
        a result visibly; what stood in the folder then stays.
    """
    parity: list[Parity] = []
    rounding_db: dict[str, float] = {}

    def check(bundle: Bundle) -> None:
        precisions = list(bundle.manifest.graphs)
        parity.extend(measure_parity(bundle, precisions, lambda name: tell(f"compare {name}")))
        if worse := [row for row in parity if not row.is_kept]:
            told = "; ".join(f"{row.graph} {row.precision}: {row.error:.1e} > {row.tolerance:.0e}" for row in worse)
            raise WeightsError(
                f"{folder}: expected graphs that agree with torch; got larger differences ({told}); nothing was"
                " written: export with the versions in constraints.txt"
            )
        if config.export.storage == "fp16":
            rounding_db.update(measure_rounding(weights, bundle, lambda what: tell(f"restore {what}")))
        if lower := {stage: value for stage, value in rounding_db.items() if value < MIN_PSNR_DB}:
            told = "; ".join(f"{stage}: {value:.1f} dB" for stage, value in lower.items())
            raise WeightsError(
                f"{folder}: expected rounded weights to give the trained ones' result to {MIN_PSNR_DB:g} dB; got"
                f" {told}; nothing was written: set export.storage to fp32"
            )

    def texts(bundle: Bundle) -> Mapping[str, str]:
        return documents(Exported(bundle, parity, rounding_db))

    sections = config.export, config.sampling
    bundle = write_bundle(weights, folder, *sections, lineage, lambda name: tell(f"write {name}"), check, texts)
    return Exported(bundle, parity, rounding_db)
