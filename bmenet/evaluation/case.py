"""Evaluate every method on one case, and do nothing twice."""

import hashlib
from pathlib import Path

import numpy as np

from bmenet.config import SamplingConfig
from bmenet.data.layout import Layout
from bmenet.evaluation.methods import INPUT, Restorations, method_fingerprint
from bmenet.evaluation.metrics.measure import measure
from bmenet.evaluation.result import Result, load_result, save_result
from bmenet.imaging.brain import foreground_mask
from bmenet.imaging.figures import shown_slices
from bmenet.imaging.volume import UNIT_STEP, Volume, load_unit_volume, save_unit_volume
from bmenet.restoration.fine import DEFAULT_SAMPLING
from bmenet.runtime.files import sha256

_BRIGHTEST = np.iinfo(np.uint16).max * UNIT_STEP
"""What a file of unit intensities can hold."""


def evaluate_case(
    subject: str,
    code: str,
    methods: list[str],
    layout: Layout,
    sampling: SamplingConfig = DEFAULT_SAMPLING,
    seed: int = 0,
    is_kept: bool = False,
) -> list[Result]:
    """Restore a degraded volume by every method and measure each result against the clean volume.

    A finished result is kept with a key made from the volumes, the code and the weights behind it, so an evaluation
    that was killed goes on, and new weights do not run the baselines again.

    Parameters
    ----------
    subject, code : str
    methods : list of str
    layout : Layout
    sampling : SamplingConfig
    seed : int
        Of the second stage's noise.
    is_kept : bool
        Whether the restored volumes stay too, for those who segment them or look at them.
    """
    clean_path = layout.clean(subject)
    degraded_path = layout.case_input(subject, code)
    volumes_key = f"{sha256(clean_path)} {sha256(degraded_path)}"
    restorations: Restorations | None = None
    results: list[Result] = []
    for method in methods:
        path, kept_path = layout.evaluated(subject, code, method), layout.restored(subject, code, method)
        key = join_keys(volumes_key, method_fingerprint(method, layout.weights_folder, sampling, seed))
        must_keep = is_kept and method != INPUT
        result = None if must_keep and not kept_path.exists() else load_result(path, key)
        if result is None:
            if restorations is None:
                clean = load_unit_volume(clean_path)
                brain_mask = foreground_mask(clean.data)
                restorations = Restorations(load_unit_volume(degraded_path), layout.weights_folder, sampling, seed)
            restored, seconds = restorations(method)
            metrics = measure(restored, clean, brain_mask)
            result = Result(subject, code, method, metrics, seconds, shown_slices(restored.data))
            # The old volume goes first: beside a new result it would pass for the new one after a kill.
            kept_path.unlink(missing_ok=True)
            save_result(path, result, key)
            if must_keep:
                save_unit_volume(kept_path, _within_units(restored))
        results.append(result)
    return results


def load_restored(subject: str, code: str, method: str, layout: Layout) -> Volume:
    """Return the kept volume of a method; of the degraded input, that input."""
    return load_unit_volume(restored_path(subject, code, method, layout))


def restored_path(subject: str, code: str, method: str, layout: Layout) -> Path:
    """Return where the volume of a method lies; of the degraded input, that input."""
    return layout.case_input(subject, code) if method == INPUT else layout.restored(subject, code, method)


def join_keys(*parts: str) -> str:
    """Join fingerprints into one."""
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def _within_units(restored: Volume) -> Volume:
    """Cut what a file of unit intensities cannot hold: nothing that is tissue."""
    return restored.with_data(np.clip(restored.data, 0, _BRIGHTEST))
