"""What the benchmark needs to know of every subject: run what is not kept, read the rest."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from bmenet.config import SamplingConfig
from bmenet.config.evaluate import CLEAN_CODE
from bmenet.data.layout import Layout
from bmenet.evaluation.baselines import denoise, filter_noise
from bmenet.evaluation.methods import COARSE, FINE, evaluate_case, method_fingerprint
from bmenet.evaluation.metrics.measure import measure
from bmenet.evaluation.result import INPUT, Result, kept_or_made, load_result, save_result
from bmenet.evaluation.tissue import compare_all_tissues
from bmenet.imaging.figures import shown_slices
from bmenet.imaging.volume import Volume, load_mask, load_unit_volume
from bmenet.networks.coarse import first_stage_digest
from bmenet.restoration import Enhancer
from bmenet.restoration.fine_net import DEFAULT_SAMPLING
from bmenet.runtime.cache import CaseIndex, join_key
from bmenet.runtime.code import code_hash
from bmenet.runtime.files import sha256
from bmenet.runtime.parallel import require_all, run_parallel

NOISE_CODE = "010"
ALONE: dict[str, Callable[[Volume], Volume]] = {"nlm": denoise, "bm4d": filter_noise}
"""Denoisers without N4 before them: where there is noise alone, N4 would only do harm."""

KEPT_FIELD = f"{COARSE}_field_kept"
"""The first stage with ``--keep-field``: under codes without bias the counterpart of a tool without N4."""

_SLOW = ("n4_bm4d", "bm4d")
"""Minutes a volume at 1 mm: limited by ``--bm4d``."""


@dataclass(frozen=True)
class ModelLayout(Layout):
    """A workspace whose networks are those of the model that is measured; their results have names of their own.

    Parameters
    ----------
    root : Path
    model : Path
        The folder that holds ``coarse`` and, for the second stage, its networks.
    """

    model: Path = Path("weights")

    @property
    def weights_folder(self) -> Path:
        """All networks of the model, a folder each."""
        return self.model

    @cached_property
    def _digest(self) -> str:
        return hashlib.sha256(first_stage_digest(self.model / COARSE).encode()).hexdigest()[:8]

    def evaluated(self, subject: str, code: str, method: str) -> Path:
        """Return the kept result: of a baseline the one that the stage `evaluate` keeps, too."""
        path = super().evaluated(subject, code, method)
        is_trained = method.startswith((COARSE, FINE))
        return path.with_name(f"model-{self._digest}_{path.name}") if is_trained else path


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Parameters
    ----------
    subjects, codes : tuple of str
    bm4d_subjects : int
        The first so many are filtered by BM4D.
    stages : tuple of {"coarse", "fine"}
    sampling : SamplingConfig
        Of the second stage.
    seed : int
    """

    subjects: tuple[str, ...]
    codes: tuple[str, ...]
    bm4d_subjects: int
    stages: tuple[str, ...]
    sampling: SamplingConfig
    seed: int

    def methods(self, subject: str, code: str) -> list[str]:
        """Return what is run on a case: the input, the classical tools that fit the code, ours."""
        fitting = {"111": ["n4_nlm", "n4_bm4d"], NOISE_CODE: list(ALONE), "001": ["n4"], "100": ["nlm"]}
        classical = fitting.get(code, ["n4", "n4_nlm"] if code == CLEAN_CODE else ["n4_nlm"])
        is_slow_run = self.subjects.index(subject) < self.bm4d_subjects
        has_no_field = code != CLEAN_CODE and code.endswith("0")
        ours = [*self.stages, KEPT_FIELD] if has_no_field else list(self.stages)
        return [INPUT, *(name for name in classical if is_slow_run or name not in _SLOW), *ours]


def collect(plan: Plan, layout: ModelLayout) -> list[Result]:
    """Return a result for each subject, code and method; under the clean code with the change of each tissue."""
    items = [
        (f"{subject} {code}", (subject, code, plan.methods(subject, code), layout, plan.sampling, plan.seed))
        for code in plan.codes
        for subject in plan.subjects
    ]
    found, failures = run_parallel(_case, items, description="restore, measure")
    require_all("benchmarks.quality", failures, len(items))
    results = [result for of_case in found.values() for result in of_case]
    if CLEAN_CODE not in plan.codes:
        return results
    tissues = _tissues(plan, layout)
    return [replace(result, metrics=result.metrics | tissues.get(_key(result), {})) for result in results]


def _case(
    subject: str, code: str, methods: Sequence[str], layout: ModelLayout, sampling: SamplingConfig, seed: int
) -> list[Result]:
    """Return the results of a case in the order of its methods."""
    together = [method for method in methods if method not in (*ALONE, KEPT_FIELD)]
    of_all = evaluate_case(
        subject, code, together, layout, layout.weights_folder, sampling, seed, is_kept=code == CLEAN_CODE
    )
    results = {result.method: result for result in of_all}
    results |= {method: _denoised(subject, code, method, layout) for method in methods if method in ALONE}
    if KEPT_FIELD in methods:
        results[KEPT_FIELD] = _with_field_kept(subject, code, layout)
    return [results[method] for method in methods]


def _denoised(subject: str, code: str, method: str, layout: ModelLayout) -> Result:
    """Return the result of a denoiser without N4 before it."""
    origin = method_fingerprint(f"n4_{method}", layout.weights_folder, DEFAULT_SAMPLING, 0)
    return _kept_or_made(subject, code, method, layout, origin, ALONE[method])


def _with_field_kept(subject: str, code: str, layout: ModelLayout) -> Result:
    """Return the result of the first stage where the scan's field is left as it is."""

    def restore(degraded: Volume) -> Volume:
        return replace(Enhancer.from_folder(layout.weights(COARSE)), keeps_field=True).restore(degraded)

    origin = method_fingerprint(COARSE, layout.weights_folder, DEFAULT_SAMPLING, 0)
    return _kept_or_made(subject, code, KEPT_FIELD, layout, origin, restore)


def _kept_or_made(
    subject: str, code: str, method: str, layout: ModelLayout, origin: str, restore: Callable[[Volume], Volume]
) -> Result:
    """Return the result of `restore`: read, where it was kept by the same code and weights, or else made."""
    paths = layout.clean(subject), layout.case_input(subject, code), layout.brain_mask(subject)

    def make() -> Result:
        clean, degraded = map(load_unit_volume, paths[:2])
        start = time.process_time()
        restored = restore(degraded)
        seconds = time.process_time() - start
        metrics = measure(restored, clean, load_mask(layout.brain_mask(subject)))
        return Result(subject, code, method, metrics, seconds, shown_slices(restored.data))

    key = join_key([sha256(path) for path in paths], method, origin, code_hash("benchmarks.quality.results"))
    path = layout.evaluated(subject, code, method)
    return kept_or_made(CaseIndex(layout.index("evaluated")), path, key, make, save_result, load_result)


def _tissues(plan: Plan, layout: ModelLayout) -> dict[tuple[str, str, str], dict[str, float]]:
    """Return the change of each tissue by what is done to clean scans."""
    cases = {
        subject: [(CLEAN_CODE, method) for method in plan.methods(subject, CLEAN_CODE)] for subject in plan.subjects
    }
    return compare_all_tissues(cases, "atropos", layout, "benchmarks.quality")


def _key(result: Result) -> tuple[str, str, str]:
    return result.subject, result.code, result.method
