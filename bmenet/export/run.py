"""Export, check, tell: what the stage `export` and the command of the same name do."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bmenet.bundle import Bundle
from bmenet.config import Config
from bmenet.errors import WeightsError
from bmenet.export.parity import Parity, measure_parity
from bmenet.export.write import write_bundle

_MEGABYTE = 1e6


@dataclass(frozen=True)
class Exported:
    """A bundle, and how far its graphs are from torch."""

    bundle: Bundle
    parity: list[Parity]

    def metrics(self) -> dict:
        """Return sizes and the largest errors, for a metrics file."""
        precisions = sorted({row.precision for row in self.parity})
        return {
            "bundle_megabytes": self.bundle.total_bytes / _MEGABYTE,
            "onnx_megabytes": {precision: self._megabytes(f"onnx/{precision}/") for precision in precisions},
            "weights_megabytes": self._megabytes("weights/"),
            "error": {
                precision: {row.graph: row.error for row in self.parity if row.precision == precision}
                for precision in precisions
            },
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

    def _megabytes(self, folder: str) -> float:
        files = self.bundle.manifest.files
        return sum(file.bytes for name, file in files.items() if name.startswith(folder)) / _MEGABYTE


def export(
    weights: Path,
    folder: Path,
    config: Config,
    lineage: dict[str, str],
    tell: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Write a bundle and compare its graphs with torch.

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

    Raises
    ------
    WeightsError
        If weights are missing, or a graph differs from torch by more than its tolerance; what stood in the folder
        then stays.
    """
    parity: list[Parity] = []

    def check(bundle: Bundle) -> None:
        precisions = list(bundle.manifest.graphs)
        parity.extend(measure_parity(bundle, precisions, lambda name: tell(f"compare {name}")))
        if worse := [row for row in parity if not row.is_kept]:
            told = "; ".join(f"{row.graph} {row.precision}: {row.error:.1e} > {row.tolerance:.0e}" for row in worse)
            raise WeightsError(
                f"{folder}: expected graphs that agree with torch; got larger differences ({told}); nothing was"
                " written: export with the versions in constraints.txt"
            )

    sections = config.export, config.sampling
    bundle = write_bundle(weights, folder, *sections, lineage, lambda name: tell(f"write {name}"), check)
    return Exported(bundle, parity)
