from typing import NamedTuple

import numpy as np
import pytest
import torch

from bmenet.config import Config
from bmenet.data.layout import Layout
from bmenet.training.batches import Case, SliceBatches, StoredCases
from bmenet.training.engine.task import batch_loader
from tests.training.conftest import SPLIT


class _Process(NamedTuple):
    """What a loader asks of accelerate: which of how many processes this is."""

    process_index: int
    num_processes: int


class PositionCase:
    """A case whose intensity is the position along one axis."""

    def __init__(self, axis: int) -> None:
        shape = [1, 1, 1]
        shape[axis] = -1
        counts = np.arange((12, 10, 14)[axis], dtype=np.uint16).reshape(shape) + 1
        self.volume = np.broadcast_to(counts, (12, 10, 14))

    def draw(self, rng: np.random.Generator, index: int) -> Case:
        bounds = np.array([(4, 9), (2, 7), (3, 11)])
        return Case(self.volume, self.volume, 1 / self.volume.max(), bounds)


@pytest.fixture
def batches(config: Config, layout: Layout) -> SliceBatches:
    return SliceBatches(StoredCases(layout, SPLIT["train"], config.coarse, 4), config.coarse, config.seed)


def plain(config: Config, crop: tuple[int, int]) -> Config:
    """No change of intensity, every plane."""
    still = config.coarse.augment.model_copy(
        update={
            name: config.coarse.augment.gain.model_copy(update={"low": 1.0, "high": 1.0}) for name in ("gain", "gamma")
        }
    )
    changes = {"augment": still, "crop": crop, "planes": ["axial", "coronal", "sagittal"]}
    return config.model_copy(update={"coarse": config.coarse.model_copy(update=changes)})


def test_batch_is_a_function_of_seed_and_index(batches: SliceBatches) -> None:
    first, same, other = batches[3], batches[3], batches[4]
    other_seed = SliceBatches(batches.cases, batches.config, batches.seed + 1)[3]
    assert first["slab"].shape == (2, 6, 24, 24)
    assert first["clean"].shape == (2, 1, 24, 24)
    assert first["slab"].dtype == first["clean"].dtype == torch.float32
    assert torch.equal(first["slab"], same["slab"])
    assert torch.equal(first["clean"], same["clean"])
    assert not torch.equal(first["slab"], other["slab"])
    assert not torch.equal(first["slab"], other_seed["slab"])


def test_ranks_share_the_batches_without_overlap(batches: SliceBatches) -> None:
    shares = [batch_loader(batches, 1, 4, 0, _Process(rank, 2)).sampler for rank in (0, 1)]
    assert [list(share) for share in shares] == [[2, 4, 6], [3, 5, 7]]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_only_left_and_right_are_ever_mirrored(config: Config, axis: int) -> None:
    batches = SliceBatches(PositionCase(axis), plain(config, (8, 8)).coarse, 0)
    mirrored = 0
    for index in range(20):
        for slab, clean in zip(*batches[index].values(), strict=True):
            assert torch.equal(slab[1:2], clean)
            extent = (12, 10, 14)[axis]
            # The position channel gives voxel v at (2 v + 1) / extent - 1; the intensity is (v + 1) / extent.
            position = ((slab[3 + axis] + 1) * extent - 1) / 2
            voxel = clean[0] * extent - 1
            inside = clean[0] > 0
            is_mirrored = not torch.allclose(voxel[inside], position[inside], atol=1e-3)
            mirrored += is_mirrored
            if is_mirrored:
                torch.testing.assert_close(voxel[inside], extent - 1 - position[inside], atol=1e-3, rtol=0)
    assert (10 < mirrored < 30) if axis == 0 else mirrored == 0


def test_crop_larger_than_the_plane_is_filled_with_background(config: Config) -> None:
    batch = SliceBatches(PositionCase(1), plain(config, (20, 24)).coarse, 0)[0]
    assert batch["clean"].shape[-2:] == (20, 24)
    assert batch["clean"][..., 14:, :].max() == 0
    assert batch["clean"][..., :8, :8].min() > 0


def test_gain_and_gamma_change_degraded_and_clean_alike(config: Config) -> None:
    span = config.coarse.augment.gain.model_copy(update={"low": 1.5, "high": 1.5})
    changed = plain(config, (8, 8)).coarse
    augment = changed.augment.model_copy(update={"gain": span, "gamma": span})
    before = SliceBatches(PositionCase(1), changed, 0)[0]
    after = SliceBatches(PositionCase(1), changed.model_copy(update={"augment": augment}), 0)[0]
    torch.testing.assert_close(after["clean"], 1.5 * before["clean"] ** 1.5)
    torch.testing.assert_close(after["slab"][:, :3], 1.5 * before["slab"][:, :3] ** 1.5)
    assert torch.equal(after["slab"][:, 3:], before["slab"][:, 3:])
