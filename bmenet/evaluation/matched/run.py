"""Evaluate many people on matched pairs, in parallel, and report."""

from pathlib import Path
from typing import Any

from bmenet.data.mr_art import MOVED, STILL
from bmenet.evaluation.matched.person import MatchedEvaluation, PersonOutcome, evaluate_person
from bmenet.evaluation.matched.report import write_matched_report
from bmenet.runtime.errors import BMENetError
from bmenet.runtime.parallel import run_parallel
from bmenet.runtime.progress import console


def evaluate_people(subjects: list[str], evaluation: MatchedEvaluation, folder: Path) -> dict[str, Any]:
    """Evaluate every person and write the report to `folder`; one failure does not stop the others.

    Whom the data set lacks a scan of is told on stderr, and in the report.

    Returns
    -------
    dict
        What metrics.json holds; its ``failures`` say who is not in the report and why.

    Raises
    ------
    BMENetError
        If nobody could be evaluated.
    """
    items = [(subject, (subject, evaluation)) for subject in subjects]
    outcomes, failed = run_parallel(evaluate_person, items, description="matched pairs")
    failures = {failure.name: failure.reason for failure in failed}
    for subject, outcome in outcomes.items():
        failures |= {f"{subject} {acquisition}": reason for acquisition, reason in outcome.failures.items()}
    # A report is shared: where the data set lies on this machine is not for it. The bar has told the whole path.
    place = f"{evaluation.source.bucket.base}/"
    failures = {name: reason.replace(place, "") for name, reason in failures.items()}
    _tell_missing(outcomes)
    if not any(result.code in MOVED for outcome in outcomes.values() for result in outcome.results):
        reasons = "; ".join(f"{name} ({reason})" for name, reason in failures.items()) or "no person has matched scans"
        raise BMENetError(f"expected at least one person who could be evaluated; got none of {len(items)}: {reasons}")
    return write_matched_report(outcomes, failures, folder, evaluation.seed)


def _tell_missing(outcomes: dict[str, PersonOutcome]) -> None:
    """Say which scans the data set does not have, and who is skipped for it."""
    for subject, outcome in outcomes.items():
        if outcome.missing:
            reason = "no still scan to compare with" if STILL in outcome.missing else "no moved scan to restore"
            skipped = "" if outcome.results or outcome.failures else f"; skipped: {reason}"
            told = f"{subject}: not in the data set: {', '.join(outcome.missing)}{skipped}"
            console.print(told, markup=False, soft_wrap=True)
    if count := sum(len(outcome.missing) for outcome in outcomes.values()):
        console.print(f"{count} of {3 * len(outcomes)} scans are not in the data set", markup=False)
