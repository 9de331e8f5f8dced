"""What `bmenet enhance` writes beside OUT: a sidecar that tells how it came about, and with --report a page."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bmenet.evaluation.pages import Page, Table
    from bmenet.imaging.scan import Scan
    from bmenet.restoration.enhanced import Enhanced
    from bmenet.restoration.enhancer import Enhancer

SIDECAR_FORMAT = 1


def report_path(out: Path) -> Path:
    """Return where the report of an output goes: ``scan.html`` for ``scan.nii.gz``."""
    from bmenet.imaging.scan import stem

    return out.with_name(f"{stem(out)}.html")


def loaded_lineage(folder: Path, stage: str) -> dict[str, str]:
    """Return what the weights that were loaded tell of themselves."""
    from bmenet.evaluation.pages.page import weights_origin
    from bmenet.networks.coarse import first_stage_folders
    from bmenet.networks.fine_weights import KINDS

    return weights_origin([*first_stage_folders(folder), *(folder.parent / kind for kind in KINDS if stage == "fine")])


def sidecar_of(
    scan: Path, enhanced: "Enhanced", enhancer: "Enhancer", settings: dict[str, str], origin: dict[str, str]
) -> dict[str, Any]:
    """Return what the JSON beside OUT holds: ``enhanced``, ``settings`` and ``origin``; neither a name nor a path."""
    from bmenet.config import flatten
    from bmenet.evaluation.pages.page import as_texts, software_versions
    from bmenet.imaging.scan import scan_sha256

    settings = settings | {
        "runtime": enhancer.runtime,
        "device": enhancer.place,
        "grid of the network": f"{enhancer.spacing_mm} mm",
        "part of the restoration that was applied": f"{enhanced.strength:.0%}",
        "intensity inhomogeneity": "left as it is" if enhancer.keeps_field else "taken out",
        "restored": "the brain alone" if enhancer.only_brain else "all of the scan",
    }
    if enhancer.fine is not None:
        settings |= {"seed": str(enhancer.seed)} | as_texts(flatten(enhancer.sampling, "sampling"))
    origin = origin | {"input: SHA-256": scan_sha256(scan)} | software_versions()
    return {"format": SIDECAR_FORMAT, "enhanced": enhanced.told(), "settings": settings, "origin": origin}


def report_page(degraded: "Scan", enhanced: "Enhanced", sidecar: dict[str, Any], keeps_field: bool) -> "Page":
    """Return the report's page: on the grid of OUT, and without a name or a path."""
    from bmenet.evaluation.pages.scan_page import quality_table, scan_page
    from bmenet.evaluation.quality.scans import measure_pair
    from bmenet.imaging.resample import resample
    from bmenet.runtime.errors import VolumeError

    before, settings = degraded.volume, sidecar["settings"]
    if settings["space"] == "template":
        before = resample(before, enhanced.scan.volume.grid, enhanced.registration.moving2fixed)
    tables: list[Table] = []
    notes = degraded.notes
    try:
        pair = measure_pair(before, enhanced.scan.volume, enhanced.brain, has_field=keeps_field)
        tables.append(quality_table(*pair))
    except VolumeError:
        # The result is there and can be looked at; what cannot be measured in it must not cost the report.
        notes += ("The quality could not be measured: tissues were not found in the enhanced scan.",)
    return scan_page(before, enhanced, settings, sidecar["origin"], tables, notes)
