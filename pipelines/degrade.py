"""Stage `degrade`: seven degraded volumes a subject, each with its sidecar, and the calibration report."""

import csv

from bmenet.cli.errors import run_stage
from bmenet.config import load_config
from bmenet.data.layout import Layout
from bmenet.degradation.calibration import calibration_figure, calibration_warning, summarise
from bmenet.degradation.case import write_case
from bmenet.runtime.cache import CaseIndex
from bmenet.runtime.files import atomic_path, read_json, write_json
from bmenet.runtime.parallel import require_all, run_parallel
from bmenet.runtime.progress import console


def main() -> None:
    """Degrade every registered subject under every code."""
    config, layout = load_config(), Layout()
    cases = [(subject, code) for subject in layout.registered_subjects() for code in config.degradation.codes]
    preset = config.degradation.preset
    expected = {layout.degraded(*case).stem for case in cases}
    index = CaseIndex(layout.index("degraded"))
    index.keep_only(expected)
    for path in layout.degraded_folder.glob("*_code-*"):
        if path.stem not in expected:
            path.unlink()
    voxel_mm = {subject: read_json(layout.transform(subject))["voxel_mm"] for subject, _ in cases}
    items = [
        (
            f"{subject} {code}",
            (
                *(layout.clean(subject), layout.degraded(subject, code)),
                *(preset, code, config.seed, subject, index, voxel_mm[subject]),
            ),
        )
        for subject, code in cases
    ]
    sidecars, failures = run_parallel(write_case, items, description="degrade")
    require_all("degrade", failures, len(items))
    rows = [{key: sidecar[key] for key in ("subject", "code", "psnr_db")} for sidecar in sidecars.values()]
    report = layout.report("degrade")
    summary = summarise(rows, config.degradation)
    write_json(report / "metrics.json", summary)
    if warning := calibration_warning(summary):
        console.print(warning, style="yellow", markup=False, soft_wrap=True)
    with atomic_path(report / "calibration.csv") as path, open(path, "w", newline="") as handle:
        writer = csv.DictWriter(handle, ["subject", "code", "psnr_db"])
        writer.writeheader()
        writer.writerows(rows)
    figure = calibration_figure(rows, config.degradation.calibration)
    with atomic_path(report / "calibration.png") as path:
        figure.savefig(path, dpi=120)


if __name__ == "__main__":
    run_stage(main)
