"""Stage `publish`: register the bundle as the challenger, and let it become champion if it is the better one."""

from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Any, Literal

from bmenet.cli.errors import exit_on_error
from bmenet.config import load_config
from bmenet.data.layout import Layout
from bmenet.release.contest import Contest, Verdict
from bmenet.release.registry import Registry, Version, fetch_bundle
from bmenet.restoration.bundle import Bundle, open_bundle
from bmenet.restoration.enhancer import Enhancer
from bmenet.runtime.errors import BMENetError, TrackingError, WeightsError
from bmenet.runtime.files import read_json, write_json
from bmenet.tracking import RunLogger, track_stage
from bmenet.tracking.lineage import code_tags

_MAX_DECISIONS = 5
_MODEL_FILE = "mlflow/enhance_model.py"


def main() -> None:
    """Measure on validation volumes, register, decide, record; the test figures come last, and only stand beside."""
    config, layout = load_config(), Layout()
    report, evaluated = layout.report("publish"), layout.report("evaluate") / "metrics.json"
    if not evaluated.exists():
        raise BMENetError(
            f"{evaluated}: expected the test figures, to stand beside; got none; run `dvc repro evaluate`"
        )
    bundle = open_bundle(layout.bundle)
    subjects = tuple(read_json(layout.split)["validation"])
    contest = Contest(bundle, subjects, config.publish, config.evaluate.bootstrap, config.seed, layout, _load)
    inputs = [layout.registered, layout.degraded_folder, layout.split, bundle.folder, evaluated]
    with track_stage(config, "publish", inputs) as run:
        if not isinstance(run, RunLogger):
            return  # one process publishes
        registry = Registry(is_made=True)
        registry.champion()  # a registry that does not answer stops here, not after an hour
        figures, run_id = contest.figures, run.run_id()
        tags = {"profile": config.profile, **code_tags()}
        candidate = registry.register(bundle, layout.root / _MODEL_FILE, run_id, tags)
        before, verdict = _decide(contest, registry, candidate)
        after = candidate if verdict.is_promoted else before
        outcome, evidence = "promoted" if verdict.is_promoted else "kept", asdict(verdict)
        models = {"candidate": _named(candidate), "before": _named(before), "after": _named(after)}
        decision = {"outcome": outcome, **models, "reasons": evidence.pop("reasons"), "comparison": evidence}
        write_json(report / "decision.json", decision)
        write_json(report / "metrics.json", verdict.numbers)
        run.log_metrics({f"publish.{name}": value for name, value in verdict.numbers.items()})
        run.set_tags({"registry.version": candidate.number, "gate.decision": outcome})
        run.log_artifact(report, "reports")
        # Figures of other networks, which evaluate.weights may name, say nothing of this bundle.
        is_of_these = layout.root / config.evaluate.weights == layout.weights_folder
        test_figures = _test_figures(read_json(evaluated)) if is_of_these else {}
        registry.log_figures(candidate, run_id, figures | test_figures)


def _decide(contest: Contest, registry: Registry, candidate: Version) -> tuple[Version | None, Verdict]:
    """Decide until the decision is about the champion of the moment: another publish may move it meanwhile.

    Returns that champion and the verdict.

    Raises
    ------
    TrackingError
        If it is moved every time.
    """
    for _ in range(_MAX_DECISIONS):
        champion = registry.champion()
        with ExitStack() as stack:
            theirs: Bundle | WeightsError | None = None
            if champion is not None and champion.digest != contest.bundle.digest:
                try:
                    theirs = stack.enter_context(fetch_bundle(champion.number))
                except WeightsError as error:
                    theirs = error
            verdict = contest.against(None if champion is None else champion.digest, theirs)
        if champion is not None and champion.number != candidate.number and champion.digest == candidate.digest:
            verdict = replace(
                verdict, is_promoted=True, reasons=("the champion's bundle, with newer code to serve it",)
            )
        if registry.settle(candidate, champion, verdict.is_promoted, verdict.reasons, verdict.metric):
            return champion, verdict
    raise TrackingError(
        f"expected the champion to stay the same while a decision is made; it was another one {_MAX_DECISIONS} times;"
        " run this again when nobody else publishes (`dvc repro --force --single-item publish`)"
    )


def _named(version: Version | None) -> dict[str, Any] | None:
    """Return what a decision says of a version."""
    return None if version is None else {"version": version.number, "digest": version.digest}


def _load(bundle: Bundle, stage: Literal["coarse", "fine"]) -> Enhancer:
    """Load a model as it is served: torch's fastest number format is not what users would get."""
    return Enhancer.from_bundle(bundle, stage, runtime="onnx")


def _test_figures(reported: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return the test figures of both stages under flat names."""
    stages = {method: reported[method] for method in ("coarse", "fine") if method in reported}
    return {f"test.{method}.{name}": value for method, means in stages.items() for name, value in means.items()}


if __name__ == "__main__":
    with exit_on_error():
        main()
