"""Stage `evaluate`: the test subjects under every code, both stages against the input and the baselines."""

from bmenet.baselines.bm4d import require_package
from bmenet.cli.stage import run_stage
from bmenet.config import EvaluateConfig, load_config
from bmenet.errors import ConfigError, VolumeError
from bmenet.evaluation.case import evaluate_case
from bmenet.evaluation.methods import method_names
from bmenet.evaluation.report import write_report
from bmenet.files import read_json
from bmenet.layout import Layout
from bmenet.models.fine_weights import KINDS
from bmenet.parallel import require_all, run_parallel
from bmenet.tracking import track_stage


def main() -> None:
    """Evaluate the cases that are not done, then write the report."""
    config, layout = load_config(), Layout()
    if "n4_bm4d" in config.evaluate.baselines:
        require_package()
    subjects = read_json(layout.split)["test"]
    _require_cases(subjects, config.evaluate.codes, layout)
    items = [
        (f"{subject} {code}", (subject, code, _methods(config.evaluate, code), layout, config.sampling, config.seed))
        for subject in subjects
        for code in config.evaluate.codes
    ]
    weights = [layout.weights(kind) for kind in ("coarse", *KINDS)]
    inputs = [layout.registered, layout.degraded_folder, layout.split, *weights]
    with track_stage(config, "evaluate", inputs) as run:
        results, failures = run_parallel(evaluate_case, items, description="evaluate")
        require_all("evaluate", failures, len(items))
        flat = [result for of_case in results.values() for result in of_case]
        run.log_metrics(write_report(flat, config.evaluate, config.seed, layout))
        run.log_artifact(layout.report("evaluate"), "evaluate")


def _methods(evaluate: EvaluateConfig, code: str) -> list[str]:
    """Return the methods that are run under a code."""
    return method_names(evaluate.baselines, evaluate.fine if code in evaluate.fine_codes else [])


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
