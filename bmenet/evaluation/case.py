"""Evaluate every method on one case, and do nothing twice."""

import hashlib

from bmenet.brain import foreground_mask
from bmenet.config import SamplingConfig
from bmenet.evaluation.methods import Restorations, method_fingerprint
from bmenet.evaluation.result import Result, load_result, save_result
from bmenet.figures import shown_slices
from bmenet.files import sha256
from bmenet.inference.fine import DEFAULT_SAMPLING
from bmenet.layout import Layout
from bmenet.metrics.measure import measure
from bmenet.volume import load_unit_volume


def evaluate_case(
    subject: str,
    code: str,
    methods: list[str],
    layout: Layout,
    sampling: SamplingConfig = DEFAULT_SAMPLING,
    seed: int = 0,
) -> list[Result]:
    """Restore a degraded volume by every method and measure each result against the clean volume.

    A finished result is kept with a key made from the volumes, the code and the weights behind it, so an evaluation
    that was killed goes on, and new weights do not run the baselines again.
    """
    clean_path = layout.clean(subject)
    degraded_path = layout.case_input(subject, code)
    volumes_key = f"{sha256(clean_path)} {sha256(degraded_path)}"
    restorations: Restorations | None = None
    results: list[Result] = []
    for method in methods:
        path = layout.evaluated(subject, code, method)
        key = _key(volumes_key, method_fingerprint(method, layout.weights_folder, sampling, seed))
        result = load_result(path, key)
        if result is None:
            if restorations is None:
                clean = load_unit_volume(clean_path)
                brain_mask = foreground_mask(clean.data)
                restorations = Restorations(load_unit_volume(degraded_path), layout.weights_folder, sampling, seed)
            restored, seconds = restorations(method)
            metrics = measure(restored, clean, brain_mask)
            result = Result(subject, code, method, metrics, seconds, shown_slices(restored.data))
            save_result(path, result, key)
        results.append(result)
    return results


def _key(*parts: str) -> str:
    """Join fingerprints into one."""
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()
