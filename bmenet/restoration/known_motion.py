"""Undo motion whose poses are known, from a camera, navigators or a simulation: physics alone, no network.

A scan ``y`` is the magnitude of what `bmenet.degradation.motion` acquires, ``A x``. Its lines see the head in different
poses, so ``A`` is inverted by iteration (Landweber), with the phase that the magnitude lost taken from the estimate:

    x <- max(x + A^H (y e^{i arg(A x)} - A x), 0),    A^H = 1 + sum_s (T_s^-1 - 1) F^H P_s F,

in the notation of `bmenet.degradation.motion`. As adjoint of a rigid move the move back is taken, which it is away from
the faces of the grid, but for the interpolation.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import fft, ndimage
from scipy.spatial.transform import Rotation

from bmenet.degradation import motion
from bmenet.imaging.volume import Volume
from bmenet.runtime.threads import thread_count

ITERATIONS = 6
"""Most of what there is to gain; each takes a forward and a backward move of every pose."""

_BRIGHT_PERCENTILE = 99.5
"""What is 1 while motion is simulated, of the intensities above 0: `motion.Head` takes a thousandth for background."""


def undo_motion(scan: Volume, parameters: dict, iterations: int = ITERATIONS) -> Volume:
    """Return a scan in the pose that the head had at the centre of k-space.

    Parameters
    ----------
    scan : Volume
        Magnitudes of any scale. A coil's field in it is taken to move with the head, which costs little where it is
        smooth.
    parameters : dict
        ``phase_encode_axis`` and ``poses`` as `bmenet.degradation.motion.draw` returns them, about the grid's centre.
    """
    poses, axis = parameters["poses"], parameters["phase_encode_axis"]
    if not poses or not scan.data.any():
        return scan
    white = np.float32(np.percentile(scan.data[scan.data > 0], _BRIGHT_PERCENTILE))
    measured = scan.data / white
    lines = _lines(scan.data.shape[axis], poses, axis)
    backward = [_reversed(pose) for pose in poses]
    estimate = measured
    for _ in range(iterations):
        acquired = motion.apply(scan.with_data(estimate), 1.0, parameters)
        phase = np.exp(1j * np.angle(acquired)).astype(np.complex64)
        missing = measured * phase - acquired
        missing_spectrum = fft.fft(missing, axis=axis)

        def moved_back(number: int, spectrum: np.ndarray = missing_spectrum) -> np.ndarray:
            seen = np.real(fft.ifft(spectrum * lines[number], axis=axis)).astype(np.float32)
            return _carried(seen, scan.affine, backward[number]) - seen

        change = missing.real.copy()
        with ThreadPoolExecutor(thread_count()) as pool:
            for part in pool.map(moved_back, range(len(poses))):
                change += part
        estimate = np.maximum(estimate + change, 0)
    return scan.with_data(estimate * white)


def _lines(count: int, poses: list[dict], axis: int) -> list[np.ndarray]:
    """Return for each pose which frequencies it was acquired in, 1 or 0, to be multiplied with a spectrum."""
    seen = []
    for pose in poses:
        is_acquired = np.zeros(count, np.float32)
        is_acquired[motion.frequencies_of(pose, count)] = 1
        seen.append(np.expand_dims(is_acquired, tuple(other for other in range(3) if other != axis)))
    return seen


def _reversed(pose: dict) -> dict:
    """Return the pose that leads back."""
    back = Rotation.from_euler("xyz", pose["rotation_deg"], degrees=True).inv()
    return {
        "rotation_deg": back.as_euler("xyz", degrees=True).tolist(),
        "translation_mm": (-back.apply(pose["translation_mm"])).tolist(),
    }


def _carried(data: np.ndarray, affine: np.ndarray, pose: dict) -> np.ndarray:
    """Return signed data in another pose; 0 beyond the grid."""
    pull, offset = motion.pull_of(data.shape, affine, pose)
    spline = ndimage.spline_filter(data, order=3, output=np.float32)
    carried: np.ndarray = ndimage.affine_transform(
        spline, pull, offset, order=3, prefilter=False, output=np.float32, mode="constant"
    )
    return carried
