"""One case on one subject: degrade, restore, measure; what is done is kept."""

import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
from skimage.filters import threshold_multiotsu

from benchmarks.robustness.cases import CASES
from benchmarks.robustness.degradations import DEGRADATIONS, own_preset
from benchmarks.robustness.subjects import Subject, load_subject, mask_path, source_path
from bmenet.data.layout import Layout
from bmenet.evaluation.metrics.fidelity import psnr, ssim
from bmenet.evaluation.metrics.measure import without_field
from bmenet.evaluation.result import kept_or_made
from bmenet.imaging.brain import bounding_box
from bmenet.imaging.scan import Scan
from bmenet.imaging.volume import Volume
from bmenet.networks.coarse import first_stage_folders
from bmenet.networks.fine_weights import KINDS
from bmenet.networks.weights import SPEC_FILE
from bmenet.release.models import find_model
from bmenet.restoration import Enhancer
from bmenet.restoration.bundle.manifest import MANIFEST_FILE
from bmenet.runtime.cache import CaseIndex, join_key
from bmenet.runtime.code import code_hash
from bmenet.runtime.files import read_json, sha256, write_json
from bmenet.runtime.seeding import generator

INPUT = "input"
METRICS = ("psnr", "ssim", "psnr_gain", "psnr_field_free", "contrast")
_SSIM_REACH_VOXELS = 5

Scores = dict[str, dict[str, float]]
"""``input`` or a stage to metric to value, all inside the brain."""


def measure_case(subject: str, name: str, model: str, stages: tuple[str, ...], layout: Layout, seed: int) -> Scores:
    """Degrade a clean scan, restore it by every stage, and measure inside the brain; or read what is kept.

    Parameters
    ----------
    subject : str
        Of the workspace, or the path of a whole head.
    name : str
        Of `CASES`.
    model : str
        As `find_model` takes it.
    stages : tuple of {"coarse", "fine"}
    layout : Layout
    seed : int

    Returns
    -------
    dict
        ``input`` and every stage to ``psnr`` and ``ssim``, to ``psnr_gain``, the PSNR after the best gain, which
        leaves out an error of the overall brightness, to ``psnr_field_free``, which no field can move, and to
        ``contrast`` of grey and white matter, of the clean scan's. Stages have wall ``seconds``, too.
    """
    scan = CASES[name].scan
    paths = source_path(subject, scan, layout), mask_path(subject, scan, layout)
    key = join_key(
        [sha256(path) for path in paths if path is not None],
        _fingerprint(model, stages),
        seed,
        own_preset().model_dump(mode="json"),
        code_hash("benchmarks.robustness.measure"),
    )
    kept = layout.evaluated(_label(subject), f"robust-{name}", "-".join(stages)).with_suffix(".json")

    def make() -> Scores:
        return _measure(load_subject(*paths, scan), subject, name, model, stages, seed)

    return kept_or_made(CaseIndex(layout.index("evaluated")), kept, key, make, write_json, read_json)


def _measure(subject: Subject, label: str, name: str, model: str, stages: tuple[str, ...], seed: int) -> Scores:
    case = CASES[name]
    draws = generator(seed, _label(label), case.degradation)
    degraded = DEGRADATIONS[case.degradation].degrade(subject.clean, subject.brain_mask, draws)
    if case.scan.is_stripped_late:
        degraded = np.where(subject.brain_mask, degraded, 0)
    volume = subject.clean.with_data(degraded)
    scores = {INPUT: score(volume.data, subject)}
    restored: Volume | None = None
    for stage in stages:
        enhancer = _enhancer(model, stage)
        start = time.perf_counter()
        if case.scan.kind != "registered":
            restored = enhancer.enhance(as_scan(volume)).scan.volume
        elif restored is None or enhancer.fine is None:
            restored = enhancer.restore(volume)
        else:  # the second stage starts from the first one's result
            restored = volume.with_data(enhancer.fine.restore(restored.data, enhancer.sampling, enhancer.seed).data)
        seconds = time.perf_counter() - start
        scores[stage] = score(restored.data, subject) | {"seconds": seconds}
    return scores


def score(restored: np.ndarray, subject: Subject) -> dict[str, float]:
    """Return the metrics of a restored scan inside the brain."""
    volume = subject.clean.with_data(restored)
    near = bounding_box(subject.brain_mask, _SSIM_REACH_VOXELS)
    found, clean, inside = restored[near], subject.clean.data[near], subject.brain_mask[near]
    values, wanted = found[inside].astype(np.float64), clean[inside].astype(np.float64)
    gain = np.float32((values @ wanted) / max(values @ values, np.finfo(np.float64).tiny))
    even = without_field(volume, subject.clean, subject.brain_mask)
    return {
        "psnr": psnr(found, clean, inside),
        "ssim": ssim(found, clean, inside),
        "psnr_gain": psnr(gain * found, clean, inside),
        "psnr_field_free": psnr(even[near], clean, inside),
        "contrast": contrast(even[subject.brain_mask], subject.clean.data[subject.brain_mask]),
    }


def contrast(found: np.ndarray, clean: np.ndarray) -> float:
    """Return how far apart grey and white matter are, of what they are in the clean brain; voxels of it, (N,).

    Tissues are those that Otsu's two thresholds tell apart in the clean brain: blur and noise of the other move none.
    """
    grey_from, white_from = threshold_multiotsu(clean, classes=3)
    white, grey = clean > white_from, (clean > grey_from) & (clean <= white_from)
    found_apart, clean_apart = (float(data[white].mean() - data[grey].mean()) for data in (found, clean))
    return found_apart / clean_apart


def as_scan(volume: Volume) -> Scan:
    """Return a volume as the scan that a file of it would be."""
    geometry = nib.Nifti1Header()
    geometry.set_data_shape(volume.data.shape)
    geometry.set_sform(volume.affine, code=1)
    geometry.set_xyzt_units("mm", "sec")
    return Scan(volume, volume.data.shape, geometry, np.dtype(np.float32))


@lru_cache(maxsize=2)
def _enhancer(model: str, stage: str) -> Enhancer:
    """Load a model once a process; the second stage beside the same first one."""
    with find_model(model) as found:
        enhancer = found.enhancer("fine" if stage == "fine" else "coarse")
    return enhancer if stage == "fine" else replace(enhancer, fine=None)


def _fingerprint(model: str, stages: tuple[str, ...]) -> str:
    """Hash the weights of the stages, and what a bundle says of how they are run."""
    with find_model(model) as found:
        folders = [
            *first_stage_folders(found.coarse),
            *(found.coarse.parent / kind for kind in KINDS if "fine" in stages),
        ]
        files = [folder / SPEC_FILE for folder in folders]
        if found.bundle is not None:
            files.append(found.bundle.folder / MANIFEST_FILE)
        return join_key([sha256(path) for path in files])


def _label(subject: str) -> str:
    """Return the subject's name, of a head its file's."""
    return Path(subject).name.split(".")[0]
