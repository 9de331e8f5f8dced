"""Source `sample`: the MNI152 template bent into pseudo-subjects; no download, a stand-in for real people."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt, ornt_transform
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bmenet.data.sources.base import Report, Source, Subject
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.scan import Scan
from bmenet.imaging.template import load_template
from bmenet.imaging.volume import Volume
from bmenet.runtime.seeding import generator

_REVISION = 1
"""Counts changes of this file that change a subject's voxels: fetched subjects of an older revision are made again."""

_FIELD_OF_VIEW_MM = np.array([192.0, 224.0, 192.0])
_BRAIN_CENTRE_MM = np.array([0.0, -17.0, 5.0])
_ORIENTATIONS = ("RAS", "LAS", "LPS", "PIR", "ASR", "RPI")
_RINGING = 0.01
"""Intensity below which the spline's ringing outside the brain is cut off; the darkest tissue has 0.25."""

_BENDS = ((32.0, 1.0), (10.0, 0.2))
"""Length in mm and share of the deformation: the shape of the head, and of its gyri; at 6 mm space does not fold."""


@dataclass(frozen=True)
class PseudoSubject:
    """The drawn numbers that make a pseudo-subject; arrays have shape (3,) but for the matrix and the bends."""

    rotation: np.ndarray  # of the head in the scanner
    head_mm: np.ndarray  # its place relative to the field of view's centre
    centre_mm: np.ndarray  # that centre in scanner coordinates
    scale: np.ndarray  # size of the head relative to the template
    bends: tuple[np.ndarray, ...]  # white noise on lattices (3, x, y, z), one per entry of `_BENDS`; it displaces
    gamma: float
    brightness: float  # scanner units of intensity 1
    voxel: np.ndarray  # native spacing relative to the standard grid's
    orientation: str  # of the stored voxel axes, such as LPS


class SampleSource(Source):
    """Pseudo-subjects ``sub-001``, ``sub-002``, ...; the same subject at every spacing is the same head."""

    def __init__(self, count: int, deformation_mm: float, spacing_mm: int, seed: int) -> None:
        self.count, self.deformation_mm, self.spacing_mm, self.seed = count, deformation_mm, spacing_mm, seed

    @cached_property
    def _template(self) -> Volume:
        return load_template(standard_grid(self.spacing_mm))

    def subjects(self) -> list[Subject]:
        """Return as many as ``data.sample.subjects`` says; their age and sex are unknown."""
        return [Subject(f"sub-{number:03d}", "MNI152 template") for number in range(1, self.count + 1)]

    def fingerprint(self, subject: Subject) -> str:
        """Hash all that decides the voxels."""
        recipe = (_REVISION, self.seed, subject.id, self.deformation_mm, self.spacing_mm)
        return hashlib.sha256(repr(recipe).encode()).hexdigest()

    def read(self, subject: Subject, report: Report) -> Scan:
        """Draw the pseudo-subject and render it."""
        drawn = draw(generator(self.seed, subject.id, "sample"))
        return render(drawn, self._template, self.deformation_mm, self.spacing_mm)


def draw(random: np.random.Generator) -> PseudoSubject:
    """Draw a pseudo-subject."""
    return PseudoSubject(
        rotation=Rotation.from_euler("xyz", random.uniform(-8, 8, 3), degrees=True).as_matrix(),
        head_mm=random.uniform(-4, 4, 3),
        centre_mm=_BRAIN_CENTRE_MM + random.uniform(-12, 12, 3),
        scale=random.uniform(0.95, 1.05, 3),
        bends=tuple(random.standard_normal((3, *(nodes.size for nodes in _lattice(length)))) for length, _ in _BENDS),
        gamma=random.uniform(0.8, 1.25),
        brightness=random.uniform(400, 1400),
        voxel=random.uniform(0.9, 1.05, 3),
        orientation=str(random.choice(_ORIENTATIONS)),
    )


def render(subject: PseudoSubject, template: Volume, deformation_mm: float, spacing_mm: float) -> Scan:
    """Sample the template where the pseudo-subject's tissue came from; int16, zero background.

    A voxel at ``p`` mm from the centre of the field of view shows the template at
    ``b + R' (p - h) / s + u(p)``, with the brain's centre b, rotation R, offset h, scale s and smooth displacement u.
    The template has unit intensity, `deformation_mm` is the root mean square length of ``u``'s coarsest part, and the
    native spacing lies within 10 % of `spacing_mm`, the standard grid's.
    """
    spacing = spacing_mm * subject.voxel
    shape = np.ceil(_FIELD_OF_VIEW_MM / spacing).astype(int)
    axes = [(np.arange(extent) - (extent - 1) / 2) * step for extent, step in zip(shape, spacing, strict=True)]
    origin = [axis[0] for axis in axes]

    to_template = np.diag(1 / subject.scale) @ subject.rotation.T
    offset = _BRAIN_CENTRE_MM - to_template @ subject.head_mm
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    points = np.stack([a * x + b * y + c * z for a, b, c in to_template]) + offset.reshape(3, 1, 1, 1)
    for noise, (length, share) in zip(subject.bends, _BENDS, strict=True):
        points += share * deformation_mm / np.sqrt(3) * _smooth(noise, axes, length)

    index = (points - template.affine[:3, 3].reshape(3, 1, 1, 1)) / spacing_mm
    values = np.clip(ndimage.map_coordinates(template.data, index, output=np.float32, order=3), 0, 1)
    values[values < _RINGING] = 0
    counts = np.rint(subject.brightness * values**subject.gamma).astype(np.int16)

    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin + subject.centre_mm
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(tuple(subject.orientation)))
    image = nib.Nifti1Image(counts, affine).as_reoriented(turn)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=1)
    data = np.ascontiguousarray(image.dataobj, dtype=np.float32)
    return Scan(Volume(data, image.affine), data.shape, image.header, np.dtype(np.int16))


def _lattice(length: float) -> list[np.ndarray]:
    """Return the nodes along x, y, z that displacements of this length (mm) hang on, past the field of view."""
    reach = _FIELD_OF_VIEW_MM / 2 + 2 * length
    return [np.linspace(-end, end, int(np.ceil(3 * end / length)) + 1) for end in reach]


def _smooth(noise: np.ndarray, axes: list[np.ndarray], length: float) -> np.ndarray:
    """Filter white noise by a Gaussian of sigma `length` (mm) and evaluate it on `axes`; unit variance everywhere.

    The Gaussian is separable: one small matrix product per axis.
    """
    field = noise
    for number, (axis, nodes) in enumerate(zip(axes, _lattice(length), strict=True), start=1):
        weights = np.exp(-0.5 * ((axis[:, None] - nodes) / length) ** 2)
        weights /= np.linalg.norm(weights, axis=1, keepdims=True)
        field = np.moveaxis(np.tensordot(weights, field, axes=(1, number)), 0, number)
    return field
