"""A small data set with MR-ART's layout: heads of the embedded sample at 4 mm, lying still, turned, and moving."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.spatial.transform import Rotation

from bmenet.config import RegistrationConfig
from bmenet.config.profiles import load_profile
from bmenet.data.sources.sample import PseudoSubject, draw, render
from bmenet.degradation import apply
from bmenet.degradation import draw as draw_degradation
from bmenet.imaging.brain import foreground_mask
from bmenet.imaging.brain_extraction import Brain
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.intensity import normalise
from bmenet.imaging.scan import Scan, save_scan
from bmenet.imaging.template import load_template
from bmenet.imaging.volume import Volume
from bmenet.registration import Registration
from bmenet.runtime.seeding import generator

REPOSITORY = Path(__file__).parents[1]
REGISTRATION = RegistrationConfig(backend="ants", estimate_spacing_mm=4, min_similarity=0.5)
TURN_DEG, SHIFT_MM, GAIN = (4, -3, 5), (3, -4, 5), 1.7
"""How a moved scan lies to the still one, and how much brighter its receiver made it."""


@cache
def still_head(number: int = 0) -> Scan:
    """Return a pseudo-subject that lies as the template does: the identity is its registration."""
    return _render(_upright(number))


@cache
def turned_head(number: int = 0, gain: float = GAIN) -> Scan:
    """Return the same head in another pose and at another receiver gain; it did not move meanwhile."""
    head = _upright(number)
    turn = Rotation.from_euler("xyz", TURN_DEG, degrees=True).as_matrix()
    return _render(replace(head, rotation=turn, head_mm=np.array(SHIFT_MM), brightness=gain * head.brightness))


@cache
def moving_head(number: int = 0, severity: str = "severe", gain: float = GAIN) -> Scan:
    """Return the turned head, which moved during the acquisition."""
    scan = turned_head(number, gain)
    unit_data, scale = normalise(scan.volume.data, 99.5)
    unit = scan.volume.with_data(unit_data)
    preset = load_profile("smoke").degradation.presets[severity]
    parameters = draw_degradation(preset, "100", unit, generator(3, number))
    return scan.with_data(np.rint(apply(unit, parameters).data * scale))


def write_people(
    root: Path, people: dict[str, dict[str, Scan]], scores: dict[str, dict[str, int]] | None = None
) -> str:
    """Write subject to acquisition to scan as a BIDS tree; return the root."""
    table = "participant_id\tsex\tage\n" + "".join(f"{subject}\tF\t24.45\n" for subject in people)
    root.mkdir(parents=True, exist_ok=True)
    (root / "participants.tsv").write_text(table)
    for subject, scans in people.items():
        for label, scan in scans.items():
            path = root / subject / "anat" / f"{subject}_acq-{label}_T1w.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            save_scan(path, scan)
        if scores and subject in scores:
            rows = (f"anat/{subject}_acq-{label}_T1w.nii.gz\t{score}\n" for label, score in scores[subject].items())
            (root / subject / f"{subject}_scans.tsv").write_text("filename\tscore\n" + "".join(rows))
    return str(root)


def bright_brain(volume: Volume, device: str = "cpu") -> Brain:
    """Stand in for the brain extraction: all that is no ghost is brain."""
    ceiling = np.percentile(volume.data, 99.5)
    bright = np.where(volume.data > 0.15 * ceiling, np.clip(volume.data / ceiling, 0, 1), 0)
    return Brain(foreground_mask(bright), True, "background")


def identity(moving: Volume, config: RegistrationConfig) -> Registration:
    """Stand in for the registration to the template, which a still head does not need."""
    return Registration(np.eye(4), 0.9, "stub")


@cache
def _upright(number: int) -> PseudoSubject:
    head = draw(generator(7, number))
    centre_mm = np.array([0.0, -17.0, 5.0])  # of the brain: scanner coordinates are then the template's
    return replace(head, rotation=np.eye(3), head_mm=np.zeros(3), centre_mm=centre_mm, scale=np.ones(3))


def _render(head: PseudoSubject) -> Scan:
    # Without displacement: that one would stay in the scanner when the head turns.
    scan = render(head, load_template(standard_grid(4)), deformation_mm=0.0, spacing_mm=4)
    assert nib.aff2axcodes(scan.volume.affine) == tuple(head.orientation)
    return scan
