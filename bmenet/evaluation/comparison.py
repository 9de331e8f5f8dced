"""Restore a case by every method and measure each result, doing nothing twice."""

from pathlib import Path

from bmenet.config import SamplingConfig
from bmenet.data.layout import Layout
from bmenet.evaluation.methods import Restorations, method_fingerprint
from bmenet.evaluation.metrics.measure import matched_gain, measure
from bmenet.evaluation.result import INPUT, Result, load_result, save_result, within_units
from bmenet.imaging.brain import foreground_mask
from bmenet.imaging.figures import shown_slices
from bmenet.imaging.volume import load_unit_volume, save_unit_volume
from bmenet.restoration.fine_net import DEFAULT_SAMPLING
from bmenet.runtime.cache import CaseIndex, join_key
from bmenet.runtime.files import sha256


def evaluate_case(
    subject: str,
    code: str,
    methods: list[str],
    layout: Layout,
    weights: Path,
    sampling: SamplingConfig = DEFAULT_SAMPLING,
    seed: int = 0,
    is_kept: bool = False,
    fits_gain: bool = False,
) -> list[Result]:
    """Restore a degraded volume by every method and measure each result against the clean volume.

    A finished result is kept with a key made from the volumes, the code and the weights behind it, so an evaluation
    that was killed goes on, and new weights do not run the baselines again.

    Parameters
    ----------
    subject, code : str
    methods : list of str
    layout : Layout
    weights : Path
        The folder that holds ``coarse`` and, for the second stage, its networks.
    sampling : SamplingConfig
    seed : int
        Of the second stage's noise.
    is_kept : bool
        Whether the restored volumes stay too, for those who segment them or look at them.
    fits_gain : bool
        Whether each result is multiplied by its `matched_gain` first: the clean volume is another acquisition.
    """
    clean_path, degraded_path = layout.clean(subject), layout.case_input(subject, code)
    checksums = sha256(clean_path), sha256(degraded_path)
    index = CaseIndex(layout.index("evaluated"))
    restorations: Restorations | None = None
    results: list[Result] = []
    for method in methods:
        path, volume_path = layout.evaluated(subject, code, method), layout.restored(subject, code, method)
        key = join_key(checksums, method_fingerprint(method, weights, sampling, seed), fits_gain)
        must_keep = is_kept and method != INPUT
        if index.holds(path.stem, key, path) and (not must_keep or index.holds(volume_path.name, key, volume_path)):
            results.append(load_result(path))
            continue
        if restorations is None:
            clean = load_unit_volume(clean_path)
            brain_mask = foreground_mask(clean.data)
            restorations = Restorations(load_unit_volume(degraded_path), weights, sampling, seed)
        restored, seconds = restorations(method)
        if fits_gain:
            restored = restored.with_data(restored.data * matched_gain(restored.data, clean.data, brain_mask))
        metrics = measure(restored, clean, brain_mask)
        results.append(Result(subject, code, method, metrics, seconds, shown_slices(restored.data)))
        # The old volume goes first: beside a new result it would pass for the new one after a kill.
        volume_path.unlink(missing_ok=True)
        save_result(path, results[-1])
        if must_keep:
            save_unit_volume(volume_path, within_units(restored))
            index.record(volume_path.name, key, volume_path)
        index.record(path.stem, key, path)
    return results
