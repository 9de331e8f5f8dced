"""Training batches as a pure function of (seed, index): resuming is starting at a later index."""

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bmenet.config import CoarseConfig
from bmenet.networks.slab import PLANE_AXES, coordinate_channels
from bmenet.runtime.seeding import generator
from bmenet.training.cases import Case, Cases, MixedCases
from bmenet.training.engine.loader import Batch


class SliceBatches(Dataset[Batch]):
    """Whole batches of crops: item `index` is batch `index`, always the same one.

    Every element draws a case, perhaps its left-right mirror image, a plane, a central slice through the head, a
    window of `crop` voxels, and a gain and gamma that change degraded and clean alike.
    """

    def __init__(self, cases: Cases | MixedCases, config: CoarseConfig, seed: int) -> None:
        self.cases = cases
        self.config = config
        self.seed = seed

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
        plane = config.planes[rng.integers(len(config.planes))]
        normal = PLANE_AXES[plane]
        extents = [extent for axis, extent in enumerate(case.clean.shape) if axis != normal]
        low, high = map(int, case.bounds[normal])
        centre = int(rng.integers(low, high, endpoint=True))
        row, column = (
            int(rng.integers(max(extent - size, 0), endpoint=True))
            for extent, size in zip(extents, config.crop, strict=True)
        )
        beyond = config.context_slices // 2
        gain, gamma = (rng.uniform(span.low, span.high) for span in (config.augment.gain, config.augment.gamma))
        blocks = (
            _window(case.degraded, normal, (centre - beyond, row, column), (config.context_slices, *config.crop)),
            _window(case.clean, normal, (centre, row, column), (1, *config.crop)),
        )
        context, clean = (torch.from_numpy(gain * (case.unit * block) ** gamma).float() for block in blocks)
        position = coordinate_channels(plane, (centre, row, column), (1, *config.crop), case.clean.shape)
        return torch.cat([context, position[0]]), clean


def _mirrored(case: Case) -> Case:
    """Swap left and right: heads are nearly symmetric about x = 0, the middle of the standard grid."""
    bounds = case.bounds.copy()
    bounds[0] = case.clean.shape[0] - 1 - case.bounds[0, ::-1]
    return case._replace(degraded=case.degraded[::-1], clean=case.clean[::-1], bounds=bounds)


def _window(volume: np.ndarray, normal: int, first: tuple[int, ...], size: tuple[int, ...]) -> np.ndarray:
    """Cut a block whose first axis is `normal`, float32; beyond the volume it is zero, background."""
    slices = np.moveaxis(volume, normal, 0)
    block = np.zeros(size, np.float32)
    starts = [max(begin, 0) for begin in first]
    inner = slices[tuple(slice(s, b + n) for s, b, n in zip(starts, first, size, strict=True))]
    place = tuple(slice(s - b, s - b + n) for s, b, n in zip(starts, first, inner.shape, strict=True))
    block[place] = inner
    return block
