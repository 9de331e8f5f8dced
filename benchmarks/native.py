"""The loss on the way to the standard grid and back, and native-grid inference: `python -m benchmarks.native SCANS`.

PSNR inside the brain, in dB, intensities in [0, 1]. First a clean scan there and back, no network: linear or cubic,
smoothed before it is made coarser or not. Then, where `--weights` names a trained model of the grid's spacing, the
same scan degraded on its own grid (code 111, moderate) and restored either way.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from nibabel.affines import voxel_sizes
from rich.console import Console
from rich.table import Table

from bmenet.config import Severity
from bmenet.config.profiles import load_profile
from bmenet.degradation import apply, draw
from bmenet.evaluation.metrics.fidelity import psnr
from bmenet.imaging.brain_extraction import extract_brain
from bmenet.imaging.grid import FIELD_OF_VIEW_MM, Grid, standard_grid
from bmenet.imaging.intensity import normalise
from bmenet.imaging.resample import resample
from bmenet.imaging.scan import load_scan
from bmenet.imaging.volume import Volume
from bmenet.registration import register
from bmenet.restoration import Enhancer
from bmenet.restoration.enhancer import REGISTRATION
from bmenet.restoration.way_back import non_negative
from bmenet.runtime.seeding import generator

WAYS = {
    "linear": {"order": 1, "antialias": False},
    "linear, smoothed": {"order": 1, "antialias": True},
    "cubic": {"order": 3, "antialias": False},
    "cubic, smoothed": {"order": 3, "antialias": True},
}


def main() -> None:
    """Measure every scan and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scans", nargs="+", type=Path, help="T1-weighted scans, whole heads or stripped")
    parser.add_argument("--spacing-mm", type=int, default=1, choices=(1, 2, 4), help="of the standard grid")
    parser.add_argument("--weights", type=Path, help="weights folder of a trained Coarse-net")
    parser.add_argument("--profile", default="full", help="profile with the severity presets")
    arguments = parser.parse_args()
    enhancer = Enhancer.from_folder(arguments.weights) if arguments.weights else None
    grid = enhancer.grid if enhancer else standard_grid(arguments.spacing_mm)
    columns = list(WAYS) + (["degraded", "standard grid", "native grid"] if enhancer else [])
    table = Table(title=f"PSNR inside the brain, dB, by way of the standard grid at {grid.spacing_mm[0]:g} mm")
    for name in ("scan", "voxel mm", *columns):
        table.add_column(name, justify="left" if name == "scan" else "right")
    for path in arguments.scans:
        clean, brain_mask, moving2fixed = _prepare(path)
        scores = [
            psnr(_there_and_back(clean, grid, moving2fixed, way), clean.data, brain_mask) for way in WAYS.values()
        ]
        if enhancer:
            preset = load_profile(arguments.profile).degradation.presets["moderate"]
            scores += _restorations(enhancer, clean, brain_mask, moving2fixed, preset)
        widths = " ".join(f"{width:.2f}" for width in clean.grid.spacing_mm)
        table.add_row(path.name.split(".")[0], widths, *(f"{score:.2f}" for score in scores))
    Console(width=140).print(table)


def _prepare(path: Path) -> tuple[Volume, np.ndarray, np.ndarray]:
    """Return the brain of a scan in unit intensities, its mask, and its transform to the standard space."""
    volume = load_scan(path).volume
    volume = volume.with_data(np.maximum(volume.data, 0))
    brain_mask = extract_brain(volume)
    unit_data, _ = normalise(volume.data * brain_mask, 99.5)
    clean = volume.with_data(unit_data)
    return clean, brain_mask, register(clean, REGISTRATION).moving2fixed


def _there_and_back(native: Volume, grid: Grid, moving2fixed: np.ndarray, way: dict) -> np.ndarray:
    """Return the scan after two interpolations."""
    there = resample(native, grid, moving2fixed, **way)
    back = resample(there, native.grid, np.linalg.inv(moving2fixed), order=way["order"], antialias=False)
    return np.clip(back.data, 0, 1)


def _restorations(
    enhancer: Enhancer, clean: Volume, brain_mask: np.ndarray, moving2fixed: np.ndarray, preset: Severity
) -> list[float]:
    """Return the PSNR of the degraded scan, and of it restored on the standard and on its own grid."""
    degraded = apply(clean, draw(preset, "111", clean, generator(0, "111")))
    standard = enhancer.restore(non_negative(resample(degraded, enhancer.grid, moving2fixed)))
    back = resample(standard, clean.grid, np.linalg.inv(moving2fixed), antialias=False)
    own = _restore_on_own_grid(enhancer, degraded, moving2fixed)
    return [psnr(np.clip(result, 0, 1), clean.data, brain_mask) for result in (degraded.data, back.data, own)]


def _restore_on_own_grid(enhancer: Enhancer, degraded: Volume, moving2fixed: np.ndarray) -> np.ndarray:
    """Show the network the scan's own voxels, turned to RAS+, cut to the standard field of view; no interpolation."""
    to_canonical = nib.orientations.inv_ornt_aff(nib.orientations.io_orientation(degraded.affine), degraded.data.shape)
    canonical = degraded.affine @ to_canonical
    x, y, z = (round(extent / width) for extent, width in zip(FIELD_OF_VIEW_MM, voxel_sizes(canonical), strict=True))
    centre_mm = enhancer.grid.affine @ [*(np.array(enhancer.grid.shape) - 1) / 2, 1]
    centre = (np.linalg.inv(moving2fixed @ canonical) @ centre_mm)[:3]
    corner = np.eye(4)
    corner[:3, 3] = np.rint(centre - (np.array([x, y, z]) - 1) / 2)
    box = resample(degraded, Grid((x, y, z), canonical @ corner))
    restored = replace(enhancer.coarse, spacing_mm=FIELD_OF_VIEW_MM[0] / x, dtype=torch.float32).restore(box.data)
    return resample(box.with_data(restored), degraded.grid).data


if __name__ == "__main__":
    main()
