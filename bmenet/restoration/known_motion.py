"""Undo motion whose poses are known, from a camera, navigators or a simulation: physics alone, no network.

A scan ``y`` is the magnitude of what `bmenet.degradation.motion` acquires, ``A x``. Its lines see the head in different
poses, so ``A`` is inverted by iteration (Landweber), with the phase that the magnitude lost taken from the estimate:

    x <- max(x + A^H (y e^{i arg(A x)} - A x), 0),    A^H = 1 + sum_s (T_s^-1 - 1) F^H P_s F,

in the notation of `bmenet.degradation.motion`; a rigid move's adjoint is the move back.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import fft, ndimage
from scipy.spatial.transform import Rotation

from bmenet.degradation import motion
from bmenet.imaging.volume import Volume
from bmenet.runtime.threads import thread_count

ITERATIONS = 6
"""After which a 1 mm brain gains little more."""


def undo_motion(scan: Volume, parameters: dict, iterations: int = ITERATIONS) -> Volume:
    """Return a scan in the pose that the head had at the centre of k-space.

    Parameters
    ----------
    scan : Volume
        Magnitudes. A coil's field in it is taken to move with the head, which costs little where it is smooth.
    parameters : dict
        ``phase_encode_axis`` and ``poses`` as `bmenet.degradation.motion.draw` returns them, about the grid's centre.
    """
    poses, axis = parameters["poses"], parameters["phase_encode_axis"]
    if not poses:
        return scan
    lines = _lines(scan.data.shape[axis], poses, axis)
    backward = [_reversed(pose) for pose in poses]
    estimate = scan.data
    for _ in range(iterations):
        acquired = motion.apply(scan.with_data(estimate), 1.0, parameters)
        phase = np.exp(1j * np.angle(acquired)).astype(np.complex64)
        missing = fft.fft(scan.data * phase - acquired, axis=axis, overwrite_x=True)

        def moved_back(number: int, spectrum: np.ndarray = missing) -> np.ndarray:
            seen = np.real(fft.ifft(spectrum * lines[number], axis=axis)).astype(np.float32)
            return _carried(seen, scan.affine, backward[number]) - seen

        change = np.real(fft.ifft(missing, axis=axis)).astype(np.float32)
        with ThreadPoolExecutor(thread_count()) as pool:
            for part in pool.map(moved_back, range(len(poses))):
                change += part
        estimate = np.maximum(estimate + change, 0)
    return scan.with_data(estimate)


def _lines(count: int, poses: list[dict], axis: int) -> list[np.ndarray]:
    """Return for each pose which frequencies it was acquired in, 1 or 0, to be multiplied with a spectrum."""
    order = fft.fftshift(np.arange(count))
    seen = []
    for pose in poses:
        is_acquired = np.zeros(count, np.float32)
        is_acquired[order[slice(*pose["lines"])]] = 1
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
