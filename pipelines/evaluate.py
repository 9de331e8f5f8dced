"""Stage `evaluate`: the test subjects under every code, both stages against the input and the baselines."""

from bmenet.baselines.bm4d import require_package
from bmenet.cli.stage import run_stage
from bmenet.config import EvaluateConfig, load_config
from bmenet.errors import BMENetError
from bmenet.evaluation.case import evaluate_case
from bmenet.evaluation.methods import method_names
from bmenet.evaluation.report import write_report
from bmenet.files import read_json
from bmenet.layout import Layout
from bmenet.models.fine_weights import KINDS
from bmenet.parallel import run_parallel
from bmenet.tracking import track_stage


def main() -> None:
    """Evaluate the cases that are not done, then write the report."""
    config, layout = load_config(), Layout()
    if "n4_bm4d" in config.evaluate.baselines:
        require_package()
    subjects = read_json(layout.split)["test"]
    items = [
        (f"{subject} {code}", (subject, code, _methods(config.evaluate, code), layout, config.sampling, config.seed))
        for subject in subjects
        for code in config.evaluate.codes
    ]
    weights = [layout.weights(kind) for kind in ("coarse", *KINDS)]
    inputs = [layout.registered, layout.degraded_folder, layout.split, *weights]
    with track_stage(config, "evaluate", inputs) as run:
        results, failures = run_parallel(evaluate_case, items, description="evaluate")
        if failures:
            listed = "; ".join(f"{failure.name} ({failure.reason})" for failure in failures)
            raise BMENetError(f"evaluate: {len(failures)} of {len(items)} cases failed: {listed}")
        flat = [result for of_case in results.values() for result in of_case]
        run.log_metrics(write_report(flat, config.evaluate, config.seed, layout))
        run.log_artifact(layout.report("evaluate"), "evaluate")


def _methods(evaluate: EvaluateConfig, code: str) -> list[str]:
    """Return the methods that are run under a code."""
    return method_names(evaluate.baselines, evaluate.fine if code in evaluate.fine_codes else [])


if __name__ == "__main__":
    run_stage(main)
