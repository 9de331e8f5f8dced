"""Stage `coarsen`: the Coarse-net's results on the cases that the second stage is trained on."""

from bmenet.cli.errors import run_stage
from bmenet.config import load_config
from bmenet.data.layout import Layout
from bmenet.restoration.coarsen import case_codes, coarsen_case
from bmenet.runtime.cache import CaseIndex
from bmenet.runtime.files import read_json, write_json
from bmenet.runtime.parallel import require_all, run_parallel


def main() -> None:
    """Coarsen the cases that are not done yet, and drop those that are gone."""
    config, layout = load_config(), Layout()
    split = read_json(layout.split)
    cases = [
        (subject, code)
        for name in ("train", "validation")
        for subject in split[name]
        for code in case_codes(config.fine)
    ]
    expected = {layout.coarse(*case).stem for case in cases}
    index = CaseIndex(layout.index("coarse"))
    index.keep_only(expected)
    for path in layout.coarse_folder.glob("*_desc-coarse_T1w.*"):
        if path.stem not in expected:
            path.unlink()
    items = [
        (
            f"{subject} {code}",
            (layout.case_input(subject, code), layout.coarse(subject, code), layout.weights("coarse"), index),
        )
        for subject, code in cases
    ]
    results, failures = run_parallel(coarsen_case, items, description="coarsen")
    require_all("coarsen", failures, len(items))
    write_json(layout.report("coarsen") / "metrics.json", {"volumes": len(results)})


if __name__ == "__main__":
    run_stage(main)
