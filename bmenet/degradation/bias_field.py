"""Intensity inhomogeneity: a smooth multiplicative field of the coil, fixed in the scanner's frame."""

from itertools import product

import numpy as np
from numpy.polynomial import legendre

from bmenet.config import BiasConfig
from bmenet.imaging.volume import Volume

_TISSUE = 0.1
"""Unit intensity above which a clean volume is neither air nor the noise in it."""


def draw(config: BiasConfig, clean: Volume, generator: np.random.Generator) -> dict:
    """Draw the Legendre coefficients of the log-field.

    The shape is random; its amplitude follows in closed form from the drawn ratio. For a field ``exp(a p)`` the ratio
    ``(max - min) / (max + min)`` over the tissue is ``tanh(a (max p - min p) / 2)``. The constant term makes the
    mean over the tissue 1: a global gain is no inhomogeneity. Returns ``ratio``, and ``coefficients``: rows
    [i, j, k, value] of Legendre degrees along x, y, z.
    """
    degrees = [d for d in product(range(config.order + 1), repeat=3) if 0 < sum(d) <= config.order]
    # Falling amplitudes: a coil's sensitivity is smoother than a uniform draw over all degrees.
    weights = generator.standard_normal(len(degrees)) / np.array([sum(d) for d in degrees])
    ratio = generator.uniform(config.ratio.low, config.ratio.high)
    rows = [[*d, float(w)] for d, w in zip(degrees, weights, strict=True)]
    inside = log_field(clean.data.shape, rows)[clean.data > _TISSUE]
    amplitude = 2 * np.arctanh(ratio) / float(inside.max() - inside.min())
    constant = -np.log(np.exp(amplitude * inside, dtype=np.float64).mean())
    scaled = [[i, j, k, amplitude * w] for i, j, k, w in rows]
    return {"ratio": float(ratio), "coefficients": [[0, 0, 0, float(constant)], *scaled]}


def field(shape: tuple[int, ...], parameters: dict) -> np.ndarray:
    """Return the positive field, shape (X, Y, Z), float32."""
    return np.exp(log_field(shape, parameters["coefficients"]))


def log_field(shape: tuple[int, ...], rows: list[list[float]]) -> np.ndarray:
    """Sum the Legendre products ``c P_i(x) P_j(y) P_k(z)`` over a grid that spans [-1, 1] on each axis."""
    size = 1 + max(int(max(row[:3])) for row in rows)
    coefficients = np.zeros((size, size, size))
    for i, j, k, value in rows:
        coefficients[int(i), int(j), int(k)] = value
    bases = [legendre.legvander(np.linspace(-1, 1, extent), size - 1) for extent in shape]
    return np.einsum("ijk,xi,yj,zk->xyz", coefficients, *bases, optimize=True).astype(np.float32)
