"""Where a training case (a clean volume and one degradation of it) comes from: stored files, or fresh draws."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bmenet.config import CoarseConfig, Severity
from bmenet.data.layout import Layout
from bmenet.degradation.variety.case import fresh_case
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.intensity import blind_scale
from bmenet.imaging.template import load_template
from bmenet.imaging.volume import UNIT_STEP, load_unit_volume, map_unit_volume
from bmenet.runtime.seeding import generator

_FOREGROUND = 0.04

POOL_CASES = 16
"""Fresh cases that are drawn from at one time."""

_MAX_COUNT = 2**16 - 1


class Case(NamedTuple):
    """A clean volume and its degraded twin, as stored counts.

    Attributes
    ----------
    degraded, clean : ndarray, shape (X, Y, Z), uint16
        Multiply by `unit` for intensities.
    unit : float
        One count, divided by the blind scale of the degraded volume: what inference would divide by.
    bounds : ndarray, shape (3, 2)
        First and last voxel of the head along x, y, z.
    """

    degraded: np.ndarray
    clean: np.ndarray
    unit: float
    bounds: np.ndarray


class Cases(ABC):
    """A source of cases.

    Parameters
    ----------
    config : CoarseConfig
        Gives `code_weights`; code ``000`` is the clean volume itself.
    """

    def __init__(self, layout: Layout, subjects: Sequence[str], config: CoarseConfig, spacing_mm: int) -> None:
        self.layout = layout
        self.subjects = list(subjects)
        weights = {code: weight for code, weight in config.code_weights.items() if weight > 0}
        self.codes, self.chances = list(weights), np.array(list(weights.values())) / sum(weights.values())
        self.spacing_mm = spacing_mm

    @abstractmethod
    def draw(self, rng: np.random.Generator, index: int) -> Case:
        """Draw a case for batch `index`; the same generator state and index give the same case."""

    def _draw_names(self, rng: np.random.Generator) -> tuple[str, str]:
        """Draw subject and code."""
        subject = self.subjects[rng.integers(len(self.subjects))]
        return subject, self.codes[rng.choice(len(self.codes), p=self.chances)]


class StoredCases(Cases):
    """Cases that the stage `degrade` wrote, memory-mapped; parameters as of `Cases`."""

    def __init__(self, layout: Layout, subjects: Sequence[str], config: CoarseConfig, spacing_mm: int) -> None:
        super().__init__(layout, subjects, config, spacing_mm)
        self._loaded: dict[tuple[str, str], Case] = {}

    def draw(self, rng: np.random.Generator, index: int) -> Case:
        """Draw a case that is stored."""
        subject, code = key = self._draw_names(rng)
        if key not in self._loaded:
            clean, _ = map_unit_volume(self.layout.clean(subject))
            degraded, _ = map_unit_volume(self.layout.case_input(subject, code))
            self._loaded[key] = _case(degraded, clean, self.spacing_mm)
        return self._loaded[key]


class FreshCases(Cases):
    """Cases degraded anew while training goes on, from a pool that moves through them.

    Case number `n` is a pure function of (seed, n), and the pool at a batch one of its index, so an interrupted
    training sees the same cases again. Every loader process keeps a pool of its own: use one process.

    Parameters
    ----------
    layout, subjects, config, spacing_mm
        As of `Cases`; `config` must have `online`.
    preset : Severity
        Ranges to draw from where `online` has none.
    """

    def __init__(
        self,
        layout: Layout,
        subjects: Sequence[str],
        config: CoarseConfig,
        spacing_mm: int,
        preset: Severity,
        seed: int,
    ) -> None:
        super().__init__(layout, subjects, config, spacing_mm)
        assert config.online is not None
        self.online = config.online
        self.severity = config.online.severity or preset
        self.seed = seed
        self._pool: dict[int, Case] = {}

    def draw(self, rng: np.random.Generator, index: int) -> Case:
        """Draw one case of the pool."""
        oldest = index // self.online.batches_per_case
        number = oldest + int(rng.integers(POOL_CASES))
        if number not in self._pool:
            self._pool = {kept: case for kept, case in self._pool.items() if kept >= oldest}
            self._pool[number] = self._degrade(number)
        return self._pool[number]

    def _degrade(self, number: int) -> Case:
        rng = generator(self.seed, "fresh case", number)
        subject, code = self._draw_names(rng)
        if rng.random() < self.online.template_chance:
            clean = load_template(standard_grid(self.spacing_mm))
        else:
            clean = load_unit_volume(self.layout.clean(subject))
        volumes = fresh_case(clean, self.severity, code, self.online.variety, rng)
        degraded, target = (
            np.minimum(np.rint(volume.data / UNIT_STEP), _MAX_COUNT).astype(np.uint16) for volume in volumes
        )
        return _case(degraded, target, self.spacing_mm)


class MixedCases:
    """Stored and fresh cases, half and half."""

    def __init__(self, stored: StoredCases, fresh: FreshCases) -> None:
        self.stored, self.fresh = stored, fresh

    def draw(self, rng: np.random.Generator, index: int) -> Case:
        """Draw a stored or a fresh case."""
        return (self.stored if rng.random() < 0.5 else self.fresh).draw(rng, index)


def _case(degraded: np.ndarray, clean: np.ndarray, spacing_mm: float) -> Case:
    """Measure a case: its blind scale and where the head lies."""
    scale = blind_scale(degraded.astype(np.float32) * np.float32(UNIT_STEP), spacing_mm)
    head = np.asarray(clean) > _FOREGROUND / UNIT_STEP
    lines = [np.flatnonzero(head.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return Case(degraded, clean, UNIT_STEP / scale, np.array([(line[0], line[-1]) for line in lines]))
