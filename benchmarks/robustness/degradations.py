"""The simulators by name, with how strong each is; what is drawn depends on the generator alone."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.robustness.coil import draw_coil_array, draw_gaussian_sources
from benchmarks.robustness.kspace import ghost, thicken, truncate
from benchmarks.robustness.motion import acquire, draw_few_poses, draw_random_walk
from benchmarks.robustness.noise import add_correlated_noise, add_noise, draw_g_factor
from bmenet.config import Severity, load_config
from bmenet.degradation import apply, draw
from bmenet.imaging.volume import Volume

CLEAN = "clean"
"""Nothing is done to the scan: what a restoration changes then is harm."""

COMBINED = "combined"

Degrade = Callable[[Volume, np.ndarray, np.random.Generator], np.ndarray]
"""(clean, brain_mask, generator) to the magnitude image; unit intensities."""


@dataclass(frozen=True)
class Degradation:
    """A simulator and what readers call it."""

    title: str
    degrade: Degrade


def own_preset() -> Severity:
    """Return how strong the project's own degradations are: as published."""
    return load_config().degradation.presets["moderate"]


def _own(clean: Volume, _brain_mask: np.ndarray, generator: np.random.Generator, code: str) -> np.ndarray:
    return apply(clean, draw(own_preset(), code, clean, generator)).data


def _few_poses(
    clean: Volume, _brain_mask: np.ndarray, generator: np.random.Generator, moves: tuple[int, int], reach: float
) -> np.ndarray:
    count = int(generator.integers(moves[0], moves[1] + 1))
    return np.abs(acquire(clean, draw_few_poses(count, reach, reach, generator)))


def _random_walk(clean: Volume, _brain_mask: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    spread = generator.uniform(1.5, 3)
    return np.abs(acquire(clean, draw_random_walk(24, spread, spread, generator)))


def _ghosts(clean: Volume, _brain_mask: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    period, intensity = int(generator.integers(4, 11)), generator.uniform(0.5, 1)
    return ghost(clean.data, int(generator.integers(3)), period, intensity)


def _noise_map(clean: Volume, _brain_mask: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    g_factor = draw_g_factor(clean.data.shape, generator.uniform(2, 3.5), generator)
    return np.abs(add_noise(clean.data, generator.uniform(0.015, 0.035) * g_factor, generator))


def _noise_correlated(clean: Volume, _brain_mask: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    sigma, factor = generator.uniform(0.02, 0.06), generator.uniform(1.4, 2)
    return np.abs(add_correlated_noise(clean.data, sigma, factor, generator))


def _gibbs(clean: Volume, _brain_mask: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return truncate(clean.data, int(generator.integers(3)), generator.uniform(0.4, 0.6))


def _thick_slices(clean: Volume, _brain_mask: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return thicken(clean, int(generator.integers(3)), generator.uniform(2.5, 4))


def _coil_array(clean: Volume, brain_mask: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return clean.data * _draw_coil(clean, brain_mask, generator)


def _gaussian_sources(clean: Volume, brain_mask: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    ratio, sources = generator.uniform(0.35, 0.6), int(generator.integers(2, 6))
    return clean.data * draw_gaussian_sources(clean, brain_mask, ratio, sources, generator)


def _combined(clean: Volume, brain_mask: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Move the head under an array of coils, then add noise that is strongest in the middle."""
    coil = _draw_coil(clean, brain_mask, generator)
    image = acquire(clean, draw_few_poses(int(generator.integers(2, 5)), 4.0, 4.0, generator), coil)
    g_factor = draw_g_factor(clean.data.shape, generator.uniform(2, 3.5), generator)
    return np.abs(add_noise(image, generator.uniform(0.015, 0.035) * g_factor, generator))


def _draw_coil(clean: Volume, brain_mask: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    ratio, coils = generator.uniform(0.35, 0.6), int(generator.integers(3, 9))
    return draw_coil_array(clean, brain_mask, ratio, coils, generator)


DEGRADATIONS: dict[str, Degradation] = {
    CLEAN: Degradation("clean", lambda clean, _brain_mask, _generator: clean.data),
    "111": Degradation("own: motion, noise, bias", partial(_own, code="111")),
    "100": Degradation("own: motion", partial(_own, code="100")),
    "010": Degradation("own: noise", partial(_own, code="010")),
    "001": Degradation("own: bias", partial(_own, code="001")),
    "motion_few": Degradation("motion: 2-4 moves, 4 mm, 4°", partial(_few_poses, moves=(2, 4), reach=4.0)),
    "motion_torchio": Degradation("motion: TorchIO's default", partial(_few_poses, moves=(2, 2), reach=10.0)),
    "motion_walk": Degradation("motion: drift and random walk", _random_walk),
    "ghosts": Degradation("periodic ghosts", _ghosts),
    "noise_map": Degradation("noise: g-factor map", _noise_map),
    "noise_correlated": Degradation("noise: correlated", _noise_correlated),
    "gibbs": Degradation("k-space cut, Gibbs ringing", _gibbs),
    "thick_slices": Degradation("slices of 2.5 to 4 mm", _thick_slices),
    "coil_array": Degradation("bias: array of coils", _coil_array),
    "gaussian_sources": Degradation("bias: Gaussian sources", _gaussian_sources),
    COMBINED: Degradation("few moves, coils, g-factor", _combined),
}
"""Name to simulator; those named by a code are the project's own, for comparison."""
