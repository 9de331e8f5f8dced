"""Training cases of the Coarse-net (a clean volume and one degradation of it), stored or drawn, and batches of them."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bmenet.config import CoarseConfig, Severity
from bmenet.data.layout import Layout
from bmenet.degradation import effects, phase_encode_axis
from bmenet.degradation.fresh_case import Anatomy, fresh_case
from bmenet.imaging.brain import foreground_mask
from bmenet.imaging.grid import SPACINGS_MM, acquired_mm, standard_grid
from bmenet.imaging.intensity import blind_scale
from bmenet.imaging.resample import resample_unit
from bmenet.imaging.template import load_template
from bmenet.imaging.volume import UNIT_STEP, load_mask, load_unit_volume, map_unit_volume
from bmenet.networks.slab import Axes, coordinate_channels, slice_axes
from bmenet.runtime.files import read_json
from bmenet.runtime.seeding import generator
from bmenet.training.engine.task import Batch

_FOREGROUND = 0.1

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
    phase_encode_axis : int or None
        Along which motion spread; None: there was none.
    """

    degraded: np.ndarray
    clean: np.ndarray
    unit: float
    bounds: np.ndarray
    phase_encode_axis: int | None = None


@dataclass(eq=False)
class Cases(ABC):
    """A source of cases, of codes drawn by `code_weights`; code ``000`` is the clean volume itself."""

    layout: Layout
    subjects: list[str]
    config: CoarseConfig
    spacing_mm: int

    def __post_init__(self) -> None:
        weights = {code: weight for code, weight in self.config.code_weights.items() if weight > 0}
        self._codes, self._chances = list(weights), np.array(list(weights.values())) / sum(weights.values())

    @abstractmethod
    def draw(self, rng: np.random.Generator, index: int) -> Case:
        """Draw a case for batch `index`; the same generator state and index give the same case."""

    def _draw_names(self, rng: np.random.Generator) -> tuple[str, str]:
        """Draw subject and code."""
        subject = self.subjects[rng.integers(len(self.subjects))]
        return subject, self._codes[rng.choice(len(self._codes), p=self._chances)]


@dataclass(eq=False)
class StoredCases(Cases):
    """Cases that the stage `degrade` wrote, memory-mapped."""

    _loaded: dict[tuple[str, str], Case] = field(default_factory=dict, init=False)

    def draw(self, rng: np.random.Generator, index: int) -> Case:
        """Draw a case that is stored."""
        subject, code = key = self._draw_names(rng)
        if key not in self._loaded:
            clean, _ = map_unit_volume(self.layout.clean(subject))
            degraded, _ = map_unit_volume(self.layout.case_input(subject, code))
            axis = stored_phase_encode_axis(self.layout, subject, code)
            self._loaded[key] = _case(degraded, clean, self.spacing_mm, axis)
        return self._loaded[key]


@dataclass(eq=False)
class FreshCases(Cases):
    """Cases degraded anew while training goes on, from a pool that moves through them; `config` must have `online`.

    Case number `n` is a pure function of (seed, n), and the pool at a batch one of its index, so an interrupted
    training sees the same cases again. Every loader process keeps a pool of its own: use one process. `preset` holds
    the ranges to draw from where `online` has none.
    """

    preset: Severity
    seed: int
    _pool: dict[int, Case] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        assert self.config.online is not None
        self._online = self.config.online

    def draw(self, rng: np.random.Generator, index: int) -> Case:
        """Draw one case of the pool."""
        oldest = index // self._online.batches_per_case
        number = oldest + int(rng.integers(POOL_CASES))
        if number not in self._pool:
            self._pool = {kept: case for kept, case in self._pool.items() if kept >= oldest}
            self._pool[number] = self._degrade(number)
        return self._pool[number]

    def _degrade(self, number: int) -> Case:
        rng = generator(self.seed, "fresh case", number)
        subject, code = self._draw_names(rng)
        if rng.random() < self._online.template_chance:
            template = load_template(standard_grid(self.spacing_mm))
            anatomy = Anatomy(template, foreground_mask(template.data), is_skull_stripped=True)
        else:
            anatomy = self._anatomy(subject)
        severity, heads = self._online.severity or self.preset, self._heads
        grid = standard_grid(self._acquired_mm(subject, rng))
        host = (lambda: self._anatomy(heads[rng.integers(len(heads))]).on(grid)) if heads else None
        case = fresh_case(anatomy.on(grid), severity, code, self._online.variety, rng, host)
        on_grid = (resample_unit(volume, standard_grid(self.spacing_mm)) for volume in (case.degraded, case.target))
        degraded, target = (
            np.minimum(np.rint(volume.data / UNIT_STEP), _MAX_COUNT).astype(np.uint16) for volume in on_grid
        )
        return _case(degraded, target, self.spacing_mm, case.phase_encode_axis)

    @cached_property
    def _heads(self) -> list[str]:
        """Those subjects of whom there is more than the brain."""
        return [name for name in self.subjects if not read_json(self.layout.transform(name))["is_skull_stripped"]]

    def _anatomy(self, subject: str) -> Anatomy:
        clean, brain_mask = load_unit_volume(self.layout.clean(subject)), load_mask(self.layout.brain_mask(subject))
        return Anatomy(clean, brain_mask, subject not in self._heads)

    def _acquired_mm(self, subject: str, rng: np.random.Generator) -> int:
        """Return the voxels of a case's acquisition: the subject's own, or twice those of the grid."""
        own = acquired_mm(read_json(self.layout.transform(subject))["voxel_mm"], self.spacing_mm)
        is_coarse = self._online.variety is not None and rng.random() < self._online.variety.resolution.chance / 3
        return min(2 * self.spacing_mm, max(SPACINGS_MM)) if is_coarse else own


@dataclass(frozen=True)
class MixedCases:
    """Stored and fresh cases, half and half."""

    stored: StoredCases
    fresh: FreshCases

    def draw(self, rng: np.random.Generator, index: int) -> Case:
        """Draw a stored or a fresh case."""
        return (self.stored if rng.random() < 0.5 else self.fresh).draw(rng, index)


def stored_phase_encode_axis(layout: Layout, subject: str, code: str) -> int | None:
    """Return the axis along which motion spread in a case that the stage `degrade` wrote; None: there was none."""
    if "motion" not in effects(code):
        return None
    return phase_encode_axis(read_json(layout.degraded(subject, code).with_suffix(".json"))["parameters"])


def _case(degraded: np.ndarray, clean: np.ndarray, spacing_mm: float, phase_encode_axis: int | None) -> Case:
    """Measure a case: its blind scale and where the head lies."""
    scale = blind_scale(degraded.astype(np.float32) * np.float32(UNIT_STEP), spacing_mm)
    head = np.asarray(clean) > _FOREGROUND / UNIT_STEP
    lines = [np.flatnonzero(head.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    bounds = np.array([(line[0], line[-1]) for line in lines])
    return Case(degraded, clean, UNIT_STEP / scale, bounds, phase_encode_axis)


@dataclass(eq=False)
class SliceBatches(Dataset[Batch]):
    """Whole batches of crops: item `index` is batch `index`, always the same one.

    Every element draws a case, perhaps its left-right mirror image, a plane, a central slice through the head, a
    window of `crop` voxels, and a gain and gamma that change degraded and clean alike. With `phase_encode_first` that
    axis is the height; where nothing moved, any.
    """

    cases: Cases | MixedCases
    config: CoarseConfig
    seed: int

    def __getitem__(self, index: int) -> Batch:
        """Return ``slab`` (B, context_slices + 3, H, W) and ``clean`` (B, 1, H, W), float32."""
        rng = generator(self.seed, "batch", index)
        slabs, cleans = zip(*(self._element(rng, index) for _ in range(self.config.batch_size)), strict=True)
        return {"slab": torch.stack(slabs), "clean": torch.stack(cleans)}

    def _element(self, rng: np.random.Generator, index: int) -> tuple[Tensor, Tensor]:
        config = self.config
        case = self.cases.draw(rng, index)
        if rng.random() < 0.5:
            case = _mirrored(case)
        phase_encode_axis = None
        if config.phase_encode_first:
            phase_encode_axis = case.phase_encode_axis
            if phase_encode_axis is None:
                phase_encode_axis = int(rng.integers(3))
        orders = slice_axes(config.planes, phase_encode_axis)
        axes = orders[rng.integers(len(orders))]
        low, high = map(int, case.bounds[axes[0]])
        centre = int(rng.integers(low, high, endpoint=True))
        row, column = (
            int(rng.integers(max(case.clean.shape[axis] - size, 0), endpoint=True))
            for axis, size in zip(axes[1:], config.crop, strict=True)
        )
        beyond = config.context_slices // 2
        gain, gamma = (rng.uniform(span.low, span.high) for span in (config.augment.gain, config.augment.gamma))
        blocks = (
            _window(case.degraded, axes, (centre - beyond, row, column), (config.context_slices, *config.crop)),
            _window(case.clean, axes, (centre, row, column), (1, *config.crop)),
        )
        context, clean = (torch.from_numpy(gain * (case.unit * block) ** gamma).float() for block in blocks)
        position = coordinate_channels(axes, (centre, row, column), (1, *config.crop), case.clean.shape)
        return torch.cat([context, position[0]]), clean


def _mirrored(case: Case) -> Case:
    """Swap left and right: heads are nearly symmetric about x = 0, the middle of the standard grid."""
    bounds = case.bounds.copy()
    bounds[0] = case.clean.shape[0] - 1 - case.bounds[0, ::-1]
    return case._replace(degraded=case.degraded[::-1], clean=case.clean[::-1], bounds=bounds)


def _window(volume: np.ndarray, axes: Axes, first: tuple[int, ...], size: tuple[int, ...]) -> np.ndarray:
    """Cut a block of slices with these axes, float32; beyond the volume it is zero, background."""
    slices = np.transpose(volume, axes)
    block = np.zeros(size, np.float32)
    starts = [max(begin, 0) for begin in first]
    inner = slices[tuple(slice(s, b + n) for s, b, n in zip(starts, first, size, strict=True))]
    place = tuple(slice(s - b, s - b + n) for s, b, n in zip(starts, first, inner.shape, strict=True))
    block[place] = inner
    return block
