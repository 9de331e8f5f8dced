"""Stage `evaluate`: the test subjects under every code, both stages against the input and the baselines."""

from dataclasses import replace

from bmenet.cli.errors import run_stage
from bmenet.config import Config, EvaluateConfig, flatten, load_config
from bmenet.data.layout import Layout
from bmenet.evaluation.baselines import require_package
from bmenet.evaluation.methods import ABLATIONS, COARSE, evaluate_case, method_names
from bmenet.evaluation.pages.page import as_texts
from bmenet.evaluation.report import RESULTS_FILE, write_report
from bmenet.evaluation.result import Result
from bmenet.evaluation.segmentation import SEGMENTERS
from bmenet.evaluation.tissue import compare_all_tissues
from bmenet.networks.coarse import first_stage_folders
from bmenet.networks.fine_weights import KINDS
from bmenet.runtime.errors import ConfigError, VolumeError
from bmenet.runtime.files import read_json
from bmenet.runtime.parallel import require_all, run_parallel
from bmenet.tracking import track_stage
from bmenet.tracking.lineage import code_tags, input_hashes, without_places_and_people


def main() -> None:
    """Restore and measure the cases that are not done, segment what was restored, then write the report."""
    config, layout = load_config(), Layout()
    if "n4_bm4d" in config.evaluate.baselines:
        require_package()
    SEGMENTERS[config.evaluate.segmenter].require()
    subjects = read_json(layout.split)["test"]
    _require_cases(subjects, config.evaluate.codes, layout)
    folder = layout.root / config.evaluate.weights
    weights = [*first_stage_folders(folder / COARSE), *(folder / kind for kind in KINDS)]
    inputs = [layout.registered, layout.degraded_folder, layout.split, *weights]
    with track_stage(config, "evaluate", inputs) as run:
        results = _restore(subjects, config, layout)
        tissues = _segment(subjects, config.evaluate, layout)
        complete = [
            replace(result, metrics=result.metrics | tissues.get((result.subject, result.code, result.method), {}))
            for result in results
        ]
        facts = (as_texts(without_places_and_people(flatten(config))), code_tags() | input_hashes(inputs))
        run.log_metrics(write_report(complete, config, facts, layout))
        run.log_artifact(layout.report("evaluate"))
        run.log_artifact(layout.reports / RESULTS_FILE, "evaluate")
        run.log_artifact(layout.report("degrade") / "calibration.png", "degrade")


def _restore(subjects: list[str], config: Config, layout: Layout) -> list[Result]:
    """Return the results of every case, in the order of the methods."""
    evaluate, weights = config.evaluate, layout.root / config.evaluate.weights
    items = [
        (
            f"{subject} {code}",
            (
                *(subject, code, _methods(evaluate, code), layout, weights, config.sampling, config.seed),
                code in evaluate.segmented_codes,
            ),
        )
        for subject in subjects
        for code in evaluate.codes
    ]
    results, failures = run_parallel(evaluate_case, items, description="restore, measure")
    require_all("evaluate", failures, len(items))
    order = method_names(list(evaluate.baselines), list(evaluate.fine))
    return sorted((result for of_case in results.values() for result in of_case), key=lambda r: order.index(r.method))


def _segment(
    subjects: list[str], evaluate: EvaluateConfig, layout: Layout
) -> dict[tuple[str, str, str], dict[str, float]]:
    """Return subject, code and method to Dice overlap and change of volume."""
    codes = evaluate.segmented_codes
    cases = [(code, method) for code in codes for method in _methods(evaluate, code) if method not in ABLATIONS]
    return compare_all_tissues(dict.fromkeys(subjects, cases), evaluate.segmenter, layout, "evaluate")


def _methods(evaluate: EvaluateConfig, code: str) -> list[str]:
    """Return the methods that are run under a code."""
    return method_names(evaluate.baselines_under(code), evaluate.fine_under(code))


def _require_cases(subjects: list[str], codes: list[str], layout: Layout) -> None:
    """Check that there is something to evaluate, before anything is."""
    if not subjects:
        raise ConfigError("split.test: expected at least one subject; got none; raise split.test in params.yaml")
    missing = sorted({code for subject in subjects for code in codes if not layout.case_input(subject, code).exists()})
    if missing:
        raise VolumeError(
            f"{layout.degraded_folder}: expected every test subject under the codes of evaluate.codes; {missing} are"
            " missing: add them to degradation.codes and run the stage degrade"
        )


if __name__ == "__main__":
    run_stage(main)
