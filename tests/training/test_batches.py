"""Cases and batches of the Coarse-net are functions of seed and index, and lie as they do on disk."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bmenet.config import CoarseConfig, Config, with_values
from bmenet.config.degradation import OnlineConfig
from bmenet.data.layout import Layout
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.intensity import CANONICAL_BRIGHTNESS, blind_scale
from bmenet.imaging.template import load_template
from bmenet.imaging.volume import UNIT_STEP, load_unit_volume
from bmenet.runtime.files import read_json
from bmenet.runtime.seeding import generator
from bmenet.training.batches import (
    POOL_CASES,
    Case,
    FreshCases,
    MixedCases,
    SliceBatches,
    StoredCases,
    stored_phase_encode_axis,
)
from bmenet.training.engine.task import batch_loader
from tests.training.conftest import SPLIT


class PositionCase:
    """A case whose intensity is the position along one axis."""

    def __init__(self, axis: int, phase_encode_axis: int | None = None) -> None:
        self.phase_encode_axis = phase_encode_axis
        shape = [1, 1, 1]
        shape[axis] = -1
        counts = np.arange((12, 10, 14)[axis], dtype=np.uint16).reshape(shape) + 1
        self.volume = np.broadcast_to(counts, (12, 10, 14))

    def draw(self, rng: np.random.Generator, index: int) -> Case:
        bounds = np.array([(4, 9), (2, 7), (3, 11)])
        return Case(self.volume, self.volume, 1 / self.volume.max(), bounds, self.phase_encode_axis)


@pytest.fixture
def batches(config: Config, layout: Layout) -> SliceBatches:
    return SliceBatches(StoredCases(layout, SPLIT["train"], config.coarse, 4), config.coarse, config.seed)


def plain(config: Config, crop: tuple[int, int], change: float = 1.0) -> CoarseConfig:
    """Every plane, one gain and gamma, by default those that change no intensity."""
    spans = {f"coarse.augment.{name}.{end}": change for name in ("gain", "gamma") for end in ("low", "high")}
    planes = ["axial", "coronal", "sagittal"]
    return with_values(config, spans | {"coarse.crop": crop, "coarse.planes": planes}).coarse


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
    shares = [
        batch_loader(batches, 1, 4, 0, SimpleNamespace(process_index=rank, num_processes=2)).sampler for rank in (0, 1)
    ]
    assert [list(share) for share in shares] == [[2, 4, 6], [3, 5, 7]]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_only_left_and_right_are_ever_mirrored(config: Config, axis: int) -> None:
    batches = SliceBatches(PositionCase(axis), plain(config, (8, 8)), 0)
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


@pytest.mark.parametrize(("known", "heights"), [(0, {0}), (1, {1}), (2, {2}), (None, {0, 1, 2})])
def test_the_phase_encode_axis_is_the_height_and_any_axis_where_nothing_moved(config, known, heights):
    coarse = plain(config, (8, 8)).model_copy(update={"phase_encode_first": True})
    slabs = torch.cat([SliceBatches(PositionCase(0, known), coarse, 0)[index]["slab"] for index in range(20)])
    positions = slabs[:, 3:]
    along_height = (positions[:, :, 1] > positions[:, :, 0]).all(dim=-1)
    assert (along_height.sum(dim=1) == 1).all()
    assert set(along_height.int().argmax(dim=1).tolist()) == heights


def test_a_stored_case_knows_its_axis(config, layout):
    cases = stored(config, layout, {"111": 1})
    for subject in SPLIT["train"]:
        sidecar = read_json(layout.degraded(subject, "111").with_suffix(".json"))
        axis = sidecar["parameters"]["motion"]["phase_encode_axis"]
        assert stored_phase_encode_axis(layout, subject, "111") == axis
    assert cases.draw(generator(0), 0).phase_encode_axis in (0, 1, 2)
    assert stored(config, layout, {"000": 1}).draw(generator(0), 0).phase_encode_axis is None


def test_crop_larger_than_the_plane_is_filled_with_background(config: Config) -> None:
    batch = SliceBatches(PositionCase(1), plain(config, (20, 24)), 0)[0]
    assert batch["clean"].shape[-2:] == (20, 24)
    assert batch["clean"][..., 14:, :].max() == 0
    assert batch["clean"][..., :8, :8].min() > 0


def test_gain_and_gamma_change_degraded_and_clean_alike(config: Config) -> None:
    before, after = (SliceBatches(PositionCase(1), plain(config, (8, 8), change), 0)[0] for change in (1.0, 1.5))
    torch.testing.assert_close(after["clean"], 1.5 * before["clean"] ** 1.5)
    torch.testing.assert_close(after["slab"][:, :3], 1.5 * before["slab"][:, :3] ** 1.5)
    assert torch.equal(after["slab"][:, 3:], before["slab"][:, 3:])


BATCHES_PER_CASE = 24


def stored(config: Config, layout: Layout, weights: dict[str, float]) -> StoredCases:
    return StoredCases(layout, SPLIT["train"], config.coarse.model_copy(update={"code_weights": weights}), 4)


def fresh(config: Config, layout: Layout, seed: int = 1, template_chance: float = 0.0) -> FreshCases:
    online = OnlineConfig(
        batches_per_case=BATCHES_PER_CASE, template_chance=template_chance, severity=None, variety=None
    )
    coarse = config.coarse.model_copy(update={"code_weights": {"010": 1}, "online": online})
    return FreshCases(layout, SPLIT["train"], coarse, 4, config.degradation.preset, seed)


def test_stored_case_is_what_is_on_disk_in_the_blind_scale(config: Config, layout: Layout) -> None:
    case = stored(config, layout, {"111": 1}).draw(generator(0), 0)
    found = {s: load_unit_volume(layout.degraded(s, "111")).data for s in SPLIT["train"]}
    (subject,) = [s for s, data in found.items() if np.array_equal(data, case.degraded * np.float32(UNIT_STEP))]
    np.testing.assert_array_equal(load_unit_volume(layout.clean(subject)).data, case.clean * np.float32(UNIT_STEP))
    assert blind_scale(case.degraded * case.unit, 4) == pytest.approx(1, rel=1e-5)
    assert case.degraded.max() * case.unit > CANONICAL_BRIGHTNESS


def test_code_of_weight_zero_is_never_drawn(config: Config, layout: Layout) -> None:
    cases = stored(config, layout, {"000": 0, "111": 1})
    rng = generator(0)
    assert all(not np.array_equal(case.degraded, case.clean) for case in (cases.draw(rng, 0) for _ in range(20)))


def test_code_000_is_the_clean_volume_itself_and_bounds_enclose_the_head(config: Config, layout: Layout) -> None:
    case = stored(config, layout, {"000": 1}).draw(generator(0), 0)
    np.testing.assert_array_equal(case.degraded, case.clean)
    inside = tuple(slice(low, high + 1) for low, high in case.bounds)
    assert case.clean[inside].sum() == case.clean.sum()
    assert all(case.clean[inside].take(end, axis=axis).any() for axis in range(3) for end in (0, -1))


def test_fresh_cases_are_a_function_of_seed_and_index(config: Config, layout: Layout) -> None:
    late = 3 * BATCHES_PER_CASE
    straight, resumed = fresh(config, layout), fresh(config, layout)
    straight.draw(generator(5), 0)
    first, second = straight.draw(generator(6), late), resumed.draw(generator(6), late)
    np.testing.assert_array_equal(first.degraded, second.degraded)
    other = fresh(config, layout, seed=2).draw(generator(6), late)
    assert not np.array_equal(first.degraded, other.degraded)


def test_fresh_pool_moves_on(config: Config, layout: Layout) -> None:
    cases = fresh(config, layout)
    early = cases.draw(generator(6), 0)
    again = cases.draw(generator(6), BATCHES_PER_CASE - 1)
    later = cases.draw(generator(6), BATCHES_PER_CASE)
    np.testing.assert_array_equal(early.degraded, again.degraded)
    assert not np.array_equal(early.degraded, later.degraded)
    cases.draw(generator(6), BATCHES_PER_CASE * POOL_CASES)
    assert len(cases._pool) <= POOL_CASES


def test_template_takes_the_place_of_subjects(config: Config, layout: Layout) -> None:
    case = fresh(config, layout, template_chance=1.0).draw(generator(0), 0)
    template = load_template(standard_grid(4)).data
    np.testing.assert_allclose(case.clean * np.float32(UNIT_STEP), template, atol=UNIT_STEP)


def test_mixed_cases_are_stored_and_fresh_ones_in_equal_parts(config: Config, layout: Layout) -> None:
    one, other = stored(config, layout, {"000": 1}), fresh(config, layout)
    cases, rng = MixedCases(one, other), generator(3)
    drawn = [cases.draw(rng, 0) for _ in range(60)]
    clean = sum(np.array_equal(case.degraded, case.clean) for case in drawn)
    assert 15 < clean < 45
