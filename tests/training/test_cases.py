import numpy as np
import pytest

from bmenet.config import Config
from bmenet.config.augmentation import OnlineConfig
from bmenet.data.layout import Layout
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.intensity import CANONICAL_BRIGHTNESS, blind_scale
from bmenet.imaging.template import load_template
from bmenet.imaging.volume import UNIT_STEP, load_unit_volume
from bmenet.runtime.seeding import generator
from bmenet.training.batches import POOL_CASES, FreshCases, MixedCases, StoredCases
from tests.training.conftest import SPLIT

BATCHES_PER_CASE = 24


def with_weights(config: Config, weights: dict[str, float]) -> Config:
    return config.model_copy(update={"coarse": config.coarse.model_copy(update={"code_weights": weights})})


def stored(config: Config, layout: Layout, weights: dict[str, float]) -> StoredCases:
    return StoredCases(layout, SPLIT["train"], with_weights(config, weights).coarse, 4)


def fresh(config: Config, layout: Layout, seed: int = 1, template_chance: float = 0.0) -> FreshCases:
    online = OnlineConfig(
        batches_per_case=BATCHES_PER_CASE, template_chance=template_chance, severity=None, variety=None
    )
    coarse = with_weights(config, {"010": 1}).coarse.model_copy(update={"online": online})
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
