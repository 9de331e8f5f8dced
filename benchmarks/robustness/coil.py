"""Intensity inhomogeneity of another family than polynomials: arrays of surface coils, and Gaussian sources."""

import numpy as np

from bmenet.imaging.volume import Volume


def draw_coil_array(
    head: Volume, head_mask: np.ndarray, ratio: float, coils: int, generator: np.random.Generator
) -> np.ndarray:
    """Draw receive coils around the head, of unlike strength, whose sensitivity falls exponentially with distance.

    Their images are combined as a root of the sum of squares, as scanners do.

    Parameters
    ----------
    head : Volume
    head_mask : ndarray of bool, shape (X, Y, Z)
        Where `ratio` and the mean of 1 hold.
    ratio : float
        (max - min) / (max + min) of the field, in [0, 1).
    coils : int
    generator : numpy.random.Generator

    Returns
    -------
    ndarray, shape (X, Y, Z), float32
        Positive.

    References
    ----------
    Roemer et al. (1990), The NMR phased array, Magn Reson Med 16(2):192-225.
    """
    directions = generator.standard_normal((coils, 3))
    centres = 1.2 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    strengths, reach = generator.uniform(0.3, 1, coils), generator.uniform(0.5, 0.9)
    places = _places(head, head_mask)
    squares = np.zeros(head.data.shape, np.float32)
    for centre, strength in zip(centres, strengths, strict=True):
        squares += (strength * np.exp(-_distance(places, centre) / reach)) ** 2
    return _with_ratio(np.log(squares) / 2, head_mask, ratio)


def draw_gaussian_sources(
    head: Volume, head_mask: np.ndarray, ratio: float, sources: int, generator: np.random.Generator
) -> np.ndarray:
    """Draw bright and dark Gaussian spots in the head; returns a field as `draw_coil_array` does."""
    places = _places(head, head_mask)
    log_field = np.zeros(head.data.shape, np.float32)
    for _ in range(sources):
        centre, width = generator.uniform(-0.9, 0.9, 3), generator.uniform(0.4, 0.8)
        log_field += generator.choice([-1, 1]) * np.exp(-((_distance(places, centre) / width) ** 2) / 2)
    return _with_ratio(log_field, head_mask, ratio)


def _places(head: Volume, head_mask: np.ndarray) -> list[np.ndarray]:
    """Return coordinates along the array's axes, the head's box from -1 to 1 along its longest side."""
    widths = np.asarray(head.grid.spacing_mm)
    inside = [np.flatnonzero(head_mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    half_mm = max(width * (span[-1] - span[0]) / 2 for width, span in zip(widths, inside, strict=True))
    lines = [
        width * (np.arange(extent) - (span[0] + span[-1]) / 2) / half_mm
        for width, extent, span in zip(widths, head_mask.shape, inside, strict=True)
    ]
    return [line.astype(np.float32) for line in np.meshgrid(*lines, indexing="ij", sparse=True)]


def _distance(places: list[np.ndarray], centre: np.ndarray) -> np.ndarray:
    x, y, z = (place - np.float32(middle) for place, middle in zip(places, centre, strict=True))
    return np.sqrt(x**2 + y**2 + z**2)


def _with_ratio(log_field: np.ndarray, head_mask: np.ndarray, ratio: float) -> np.ndarray:
    """Stretch a log-field so that the field has a ratio in the head, and a mean of 1: a global gain is none."""
    inside = log_field[head_mask]
    field = np.exp(2 * np.arctanh(ratio) / (inside.max() - inside.min()) * (log_field - inside.mean()))
    return (field / field[head_mask].mean(dtype=np.float64)).astype(np.float32)
