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
    from bmenet.evaluation.pages.lineage import weights_lineage
    from bmenet.networks.fine_weights import KINDS

    return weights_lineage([folder, *(folder.parent / kind for kind in KINDS if stage == "fine")])


def report_page(
    scan: Path,
    out: Path,
    degraded: "Scan",
    enhanced: "Enhanced",
    enhancer: "Enhancer",
    settings: dict[str, str],
    lineage: dict[str, str],
) -> "Page":
    """Return the report's page: on the grid of OUT, and without a name or a path."""
    from bmenet.evaluation.pages.lineage import flat, software_versions
    from bmenet.evaluation.pages.scan_report import Course, scan_page
    from bmenet.imaging.resample import resample
    from bmenet.imaging.scan.checksum import scan_sha256
    from bmenet.runtime.errors import VolumeError

    before, after = degraded.volume, enhanced.scan.volume
    if settings["space"] == "template":
        before = resample(before, after.grid, enhanced.registration.moving2fixed)
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
        settings |= {"seed": str(enhancer.seed)} | flat(enhancer.sampling.model_dump(mode="json"), "sampling.")
    return scan_page(
        before,
        after,
        None if enhanced.std is None else enhanced.std.volume,
        Course(
            enhanced.registration.similarity,
            enhanced.registration.backend,
            enhanced.is_skull_stripped,
            enhanced.is_in_standard_space,
            enhanced.timings,
        ),
        settings,
        lineage | {"input: SHA-256": scan_sha256(scan)} | software_versions(),
        tables,
        notes,
    )


def _quality(scan: Path, out: Path, device: str) -> "Table":
    """Measure both files as `bmenet qc` does."""
    from bmenet.evaluation.pages.quality_table import quality_table
    from bmenet.evaluation.quality.scans import STEPS, compare, measure_scan
    from bmenet.runtime.progress import progress_bar

    with progress_bar() as bar:
        task = bar.add_task("measure the quality", total=2 * len(STEPS), completed=-1, note="")

        def show(step: str) -> None:
            bar.update(task, advance=1, note=step)

        before, after = (measure_scan(path, device, show) for path in (scan, out))
        bar.update(task, advance=1, note="")
    changes, notes = compare(before, after)
    reasons = before.quality.reasons | after.quality.reasons
    return quality_table(before.quality.values, after.quality.values, changes, reasons, notes)
