"""What the voxels show: finite intensities that could be a T1-weighted magnitude image."""

import numpy as np

from bmenet.runtime.errors import VolumeError

_NEGATIVE_SHARE = 0.2
_MAX_LABELS = 512
_DARK = 0.1
_PIECEWISE = 0.6
"""Share of neighbours above the darkest tenth that are equal: 0.02 to 0.07 in scans, 0.8 in label maps."""


def check_content(data: np.ndarray, where: object) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the intensities, finite, and notes for the user; refuse what is plainly not a T1-weighted scan.

    Parameters
    ----------
    data : ndarray, shape (X, Y, Z), float32
    where : object
        Opens the message of an error: a path.

    Raises
    ------
    VolumeError
        If the volume is constant, has the negative background of a CT or of standardised values, or is a label map.
    """
    notes = []
    is_finite = np.isfinite(data)
    if not is_finite.all():
        notes.append(f"{data.size - np.count_nonzero(is_finite)} voxels are NaN or infinite: taken as 0")
        data = np.where(is_finite, data, np.float32(0))
    lowest, highest = float(data.min()), float(data.max())
    if lowest == highest:
        raise VolumeError(f"{where}: expected a scan; got a volume that is {lowest:g} everywhere")
    if lowest < 0:
        low, high = np.percentile(data, (1, 99))
        if low < -_NEGATIVE_SHARE * high or highest <= 0:
            raise VolumeError(
                f"{where}: expected a T1-weighted magnitude image, whose background is near 0; got intensities down to "
                f"{low:g} (1st percentile; 99th: {high:g}): a CT, or standardised values?"
            )
        notes.append(f"intensities go down to {lowest:g}: values below 0 are taken as 0")
    if _is_label_map(data):
        raise VolumeError(f"{where}: expected a T1-weighted scan; got what looks like a label map or a mask")
    return data, tuple(notes)


def _is_label_map(data: np.ndarray) -> bool:
    """Tell a map of regions: few whole numbers, and neighbours mostly share theirs."""
    background = data.min() + _DARK * (data.max() - data.min())
    ahead, behind = data[1:], data[:-1]
    touching = (ahead > background) & (behind > background)
    if not touching.any() or np.mean(ahead[touching] == behind[touching]) < _PIECEWISE:
        return False
    values = np.unique(data)
    return values.size <= _MAX_LABELS and bool((values == np.rint(values)).all())
