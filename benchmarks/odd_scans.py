"""Scans out of the ordinary, each made from an ordinary one: `python -m benchmarks.odd_scans --brain S --head H`.

A brain or a head is cut by its field of view, gets a background that is not 0, a dark scalp, a lesion that a contrast
agent has reached, the contrast of T2, or lies turned. `bmenet enhance` runs on each as a user would run it, in a
process of its own; a row says what came of it, and what should have. `--checkout` runs the code of another checkout,
so that two states can be compared; `--picture` draws the scans that show it best, before and after.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import ndimage

from benchmarks.markdown import write_tables
from bmenet.imaging.brain_extraction import find_brain
from bmenet.imaging.figures import Tile, draw_tiles, png_bytes
from bmenet.imaging.scan import load_scan
from bmenet.imaging.volume import Volume

_COMMAND = Path(sys.executable).with_name("bmenet")
_INSIDE_MM = 5.0
"""From the last slice: where nothing of a face is left, and the coil's field, which is taken out, is as on it."""


@dataclass(frozen=True)
class Subject:
    """A scan to start from: itself, its brain, and itself under code 111, all of one grid."""

    clean: Volume
    brain_mask: np.ndarray
    degraded: np.ndarray

    @property
    def white(self) -> float:
        """How bright white matter is."""
        return float(np.percentile(self.clean.data[self.brain_mask], 90))


@dataclass(frozen=True)
class Case:
    """One odd scan: of what it is made and how, what is measured of its result, and what that should be."""

    name: str
    of: str
    make: Callable[[Subject], tuple[Volume, np.dtype]]
    measure: Callable[[Subject, Volume, Volume], float]
    measured: str
    wanted: str
    is_drawn: bool = False


def _cut(axis: int, thick: int = 1) -> Callable[[Subject], tuple[Volume, np.dtype]]:
    """Cut a clean scan at two thirds of its brain's upper half along an axis, in slices of so many voxels."""

    def make(subject: Subject) -> tuple[Volume, np.dtype]:
        filled = np.flatnonzero(subject.brain_mask.any(axis=tuple(other for other in range(3) if other != axis)))
        last = int(filled[0] + 0.8 * (filled[-1] - filled[0]))
        data = np.moveaxis(subject.clean.data, axis, 0)[: last - last % thick]
        if thick > 1:
            data = data.reshape(-1, thick, *data.shape[1:]).mean(axis=1)
        affine = subject.clean.affine.copy()
        affine[:3, 3] += (thick - 1) / 2 * affine[:3, axis]
        affine[:3, axis] *= thick
        return Volume(np.ascontiguousarray(np.moveaxis(data, 0, axis)), affine), np.dtype(np.float32)

    return make


def _face(axis: int) -> Callable[[Subject, Volume, Volume], float]:
    """Return how bright the last slice is, of what it was, and over the same of one a few mm inside."""

    def measure(subject: Subject, before: Volume, after: Volume) -> float:
        ratios = []
        for index in (-1, -1 - max(round(_INSIDE_MM / before.grid.spacing_mm[axis]), 1)):
            old, new = (np.take(volume.data, index, axis) for volume in (before, after))
            tissue = old > 0.5 * subject.white
            ratios.append(new[tissue].mean() / old[tissue].mean())
        return float(ratios[0] / ratios[1])

    return measure


def _offset(offset: float, dtype: type = np.float32) -> Callable[[Subject], tuple[Volume, np.dtype]]:
    """Add an offset to the degraded scan."""

    def make(subject: Subject) -> tuple[Volume, np.dtype]:
        return subject.clean.with_data(subject.degraded + np.float32(offset)), np.dtype(dtype)

    return make


def _brain_psnr(offset: float = 0) -> Callable[[Subject, Volume, Volume], float]:
    """Return the PSNR inside the brain, dB, without the offset and after one gain for all of it."""

    def measure(subject: Subject, before: Volume, after: Volume) -> float:
        true = subject.clean.data[subject.brain_mask].astype(np.float64)
        found = after.data[subject.brain_mask].astype(np.float64) - offset
        found *= np.sum(found * true) / np.sum(found**2)
        return float(10 * np.log10(np.percentile(true, 99.5) ** 2 / np.mean((found - true) ** 2)))

    return measure


def _around(offset: float) -> Callable[[Subject, Volume, Volume], float]:
    """Return how bright it is around a stripped brain, less the offset, in per cent of white matter."""

    def measure(subject: Subject, before: Volume, after: Volume) -> float:
        around = ndimage.binary_dilation(subject.brain_mask, iterations=20) & ~ndimage.binary_dilation(
            subject.brain_mask, iterations=4
        )
        return float(100 * np.abs(after.data[around] - offset).mean() / subject.white)

    return measure


def _dark_scalp(subject: Subject) -> tuple[Volume, np.dtype]:
    """Cap all beyond 3 mm around the brain at 0.4 of white matter, as fat suppression does."""
    spacing = subject.clean.grid.spacing_mm
    beyond = ndimage.distance_transform_edt(~subject.brain_mask, sampling=spacing) > 3
    capped = np.minimum(subject.clean.data, 0.4 * subject.white)
    return subject.clean.with_data(np.where(beyond, capped, subject.clean.data)), np.dtype(np.float32)


def _erased(subject: Subject, before: Volume, after: Volume) -> float:
    """Return how much of the scalp is gone, in per cent of its voxels."""
    scalp = (before.data > 0.15 * subject.white) & ~ndimage.binary_dilation(subject.brain_mask, iterations=3)
    return float(100 * np.mean(after.data[scalp] < 0.3 * before.data[scalp]))


def _lesion(subject: Subject) -> np.ndarray:
    """Return a ball of 9 mm in white matter, deep in the brain."""
    distance = ndimage.distance_transform_edt(subject.brain_mask, sampling=subject.clean.grid.spacing_mm)
    white = ndimage.gaussian_filter((subject.clean.data > 0.85 * subject.white).astype(np.float32), 4)
    centre = np.unravel_index(np.argmax(np.where(distance > 15, white, 0)), white.shape)
    away = [
        width * (np.arange(extent) - at)
        for width, extent, at in zip(subject.clean.grid.spacing_mm, white.shape, centre, strict=True)
    ]
    return sum(np.square(axis) for axis in np.meshgrid(*away, indexing="ij")) < 9**2


def _enhancing(brightness: float) -> Callable[[Subject], tuple[Volume, np.dtype]]:
    def make(subject: Subject) -> tuple[Volume, np.dtype]:
        bright = np.where(_lesion(subject), brightness * subject.white, subject.clean.data)
        noise = np.random.default_rng(0).normal(0, 0.04 * subject.white, (2, *bright.shape))
        return subject.clean.with_data(np.hypot(bright + noise[0], noise[1])), np.dtype(np.float32)

    return make


def _kept(subject: Subject, before: Volume, after: Volume) -> float:
    """Return how bright the lesion's core is, of what it was, over the same of what lies 3 to 8 voxels around it.

    The scanner's own field, which is taken out, is the same in both.
    """
    lesion = _lesion(subject)
    near, far = (ndimage.binary_dilation(lesion, iterations=count) for count in (3, 8))
    core, rest = ndimage.binary_erosion(lesion, iterations=2), subject.brain_mask & far & ~near
    return float(
        after.data[core].mean() / before.data[core].mean() / (after.data[rest].mean() / before.data[rest].mean())
    )


def _inverted(subject: Subject) -> tuple[Volume, np.dtype]:
    """Make fluid bright and white matter dark, as in T2."""
    data = np.where(
        subject.clean.data > 0.1 * subject.white, np.maximum(1.4 * subject.white - subject.clean.data, 0), 0
    )
    return subject.clean.with_data(data), np.dtype(np.float32)


def _turned(subject: Subject) -> tuple[Volume, np.dtype]:
    """Turn the head by 90 degrees about the left-right axis, the header with it: it really lies so."""
    turn = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    return Volume(subject.degraded, turn @ subject.clean.affine), np.dtype(np.float32)


_FACE = "last slice that holds brain: brightness after / before, over the same 5 mm inside"
_IN_BRAIN = "PSNR inside the brain, dB"
CASES = (
    Case("cut above", "head", _cut(2), _face(2), _FACE, "1", True),
    Case("cut at one side", "head", _cut(0), _face(0), _FACE, "1"),
    Case("cut above, slices of 5 voxels", "head", _cut(2, 5), _face(2), _FACE, "1"),
    Case("111", "brain", _offset(0), _brain_psnr(), _IN_BRAIN, "-"),
    Case("111 and 400", "brain", _offset(400), _brain_psnr(400), _IN_BRAIN, "as without"),
    Case("111 and 1000", "brain", _offset(1000), _brain_psnr(1000), _IN_BRAIN, "as without", True),
    Case("111 and 1000, around it", "brain", _offset(1000), _around(1000), "brightness around it, % of white", "0"),
    Case("111 and 32768, uint16", "brain", _offset(32768, np.uint16), _brain_psnr(32768), _IN_BRAIN, "as without"),
    Case("111", "head", _offset(0), _brain_psnr(), _IN_BRAIN, "-"),
    Case("111 and 1024", "head", _offset(1024), _brain_psnr(1024), _IN_BRAIN, "as without"),
    Case("dark scalp", "head", _dark_scalp, _erased, "scalp that is gone, %", "0", True),
    Case("lesion 1.6 times white matter", "brain", _enhancing(1.6), _kept, "its brightness after / before", "1"),
    Case("lesion 2.2 times white matter", "brain", _enhancing(2.2), _kept, "its brightness after / before", "1"),
    Case("contrast of T2", "head", _inverted, _brain_psnr(), _IN_BRAIN, "refused"),
    Case("turned by 90 degrees", "head", _turned, _brain_psnr(), _IN_BRAIN, "as 111"),
)


def main() -> None:
    """Measure every case and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--brain", type=Path, required=True, help="a skull-stripped T1-weighted scan, clean")
    parser.add_argument("--head", type=Path, required=True, help="a whole head, clean")
    parser.add_argument("--checkout", type=Path, default=Path(), help="whose code is run")
    parser.add_argument("--cases", help="those whose names contain this", default="")
    parser.add_argument("--picture", type=Path, help="PNG to draw")
    parser.add_argument("--markdown", type=Path, help="file to write the table to, too")
    arguments = parser.parse_args()
    cases = [case for case in CASES if arguments.cases in case.name]
    if not cases:
        parser.error(f"--cases: expected a part of {', '.join(case.name for case in CASES)}; got {arguments.cases}")
    table = Table(title="Scans out of the ordinary")
    for name in ("scan", "case", "measured", "wanted", "found"):
        table.add_column(name)
    drawn: list[tuple[str, Volume, Volume]] = []
    with tempfile.TemporaryDirectory() as folder:
        subjects = {of: _subject(getattr(arguments, of), Path(folder)) for of in ("brain", "head")}
        for case in cases:
            subject = subjects[case.of]
            before, after, error = _enhance(case, subject, arguments.checkout.resolve(), Path(folder))
            found = error if after is None else f"{case.measure(subject, before, after):.3g}"
            table.add_row(case.of, case.name, case.measured, case.wanted, found)
            Console(stderr=True).print(case.of, case.name, found)
            if after is not None and case.is_drawn:
                drawn.append((case.name, before, after))
    Console(width=160).print(table)
    if arguments.markdown:
        write_tables(arguments.markdown, "Scans out of the ordinary", __doc__.split("\n\n", 1)[1], [table])
    if arguments.picture:
        arguments.picture.write_bytes(_draw(drawn))


def _subject(path: Path, folder: Path) -> Subject:
    upright, degraded = folder / f"upright_{path.name}", folder / f"degraded_{path.name}"
    nib.save(nib.as_closest_canonical(nib.load(path)), upright)
    command = (_COMMAND, "degrade", upright, degraded, "--code", "111", "--seed", "0")
    subprocess.run(command, check=True, capture_output=True)
    clean = load_scan(upright).volume
    return Subject(clean, find_brain(clean).brain_mask, load_scan(degraded).volume.data)


def _enhance(case: Case, subject: Subject, checkout: Path, folder: Path) -> tuple[Volume, Volume | None, str]:
    """Run the command; return the scan as it was written, the result, and the last line of an error."""
    volume, dtype = case.make(subject)
    source, out = folder / "odd.nii", folder / "enhanced.nii"
    data = volume.data if dtype.kind == "f" else np.rint(np.clip(volume.data, 0, np.iinfo(dtype).max))
    nib.save(nib.Nifti1Image(data.astype(dtype), volume.affine), source)
    out.unlink(missing_ok=True)
    out.with_suffix(".json").unlink(missing_ok=True)
    done = subprocess.run(
        [_COMMAND, "enhance", source, out],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        return volume, None, " ".join(done.stderr.strip().splitlines()[-1].split())[:200]
    return volume, volume.with_data(np.asarray(nib.Nifti1Image.from_filename(out).dataobj, np.float32)), ""


def _draw(drawn: list[tuple[str, Volume, Volume]]) -> bytes:
    """Draw a sagittal slice of each case before and after."""
    rows = []
    for _, before, after in drawn:
        low, high = np.percentile(before.data, (1, 99.5))
        middle = before.data.shape[0] // 2 + 12
        rows.append(
            [Tile(np.clip((volume.data[middle].T[::-1] - low) / (high - low), 0, 1)) for volume in (before, after)]
        )
    return png_bytes(draw_tiles(rows, ["before", "after"]))


if __name__ == "__main__":
    main()
