"""The report that `bmenet enhance --report` writes beside OUT."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bmenet.evaluation.pages import Page, Table
    from bmenet.imaging.scan import Scan
    from bmenet.restoration.enhanced import Enhanced
    from bmenet.restoration.enhancer import Enhancer


def report_path(out: Path) -> Path:
    """Return where the report of an output goes: ``scan.html`` for ``scan.nii.gz``."""
    return out.with_name(f"{out.name.removesuffix('.gz').removesuffix('.nii')}.html")


def loaded_lineage(folder: Path, stage: str) -> dict[str, str]:
    """Return what the weights that were loaded tell of themselves."""
    from bmenet.evaluation.pages.page import weights_origin
    from bmenet.networks.coarse import first_stage_folders
    from bmenet.networks.fine_weights import KINDS

    return weights_origin([*first_stage_folders(folder), *(folder.parent / kind for kind in KINDS if stage == "fine")])


def report_page(
    scan: Path,
    out: Path,
    degraded: "Scan",
    enhanced: "Enhanced",
    enhancer: "Enhancer",
    settings: dict[str, str],
    origin: dict[str, str],
) -> "Page":
    """Return the report's page: on the grid of OUT, and without a name or a path."""
    from bmenet.config import flatten
    from bmenet.evaluation.pages.page import as_texts, software_versions
    from bmenet.evaluation.pages.scan_page import scan_page
    from bmenet.imaging.resample import resample
    from bmenet.imaging.scan import scan_sha256
    from bmenet.runtime.errors import VolumeError

    before = degraded.volume
    if settings["space"] == "template":
        before = resample(before, enhanced.scan.volume.grid, enhanced.registration.moving2fixed)
    tables: list[Table] = []
    notes = degraded.notes
    try:
        tables.append(_quality(scan, out, enhancer.device.type))
    except VolumeError:
        # The result is there and can be looked at; what cannot be measured in it must not cost the report.
        notes += ("The quality could not be measured: brain or tissues were not found in one of the scans.",)
    settings = settings | {
        "runtime": enhancer.runtime,
        "device": enhancer.place,
        "grid of the network": f"{enhancer.spacing_mm} mm",
        "part of the restoration that was applied": f"{enhanced.strength:.0%}",
        "intensity inhomogeneity": "left as it is" if enhancer.keeps_field else "taken out",
    }
    if enhancer.fine is not None:
        settings |= {"seed": str(enhancer.seed)} | as_texts(flatten(enhancer.sampling, "sampling"))
    origin = origin | {"input: SHA-256": scan_sha256(scan)} | software_versions()
    return scan_page(before, enhanced, settings, origin, tables, notes)


def _quality(scan: Path, out: Path, device: str) -> "Table":
    """Measure both files as `bmenet qc` does."""
    from bmenet.evaluation.pages.scan_page import quality_table
    from bmenet.evaluation.quality.scans import STEPS, measure_scan
    from bmenet.runtime.progress import progress_bar

    with progress_bar() as bar:
        task = bar.add_task("measure the quality", total=2 * len(STEPS), completed=-1, note="")

        def show(step: str) -> None:
            bar.update(task, advance=1, note=step)

        before, after = (measure_scan(path, device, show) for path in (scan, out))
        bar.update(task, advance=1, note="")
    return quality_table(before, after)
