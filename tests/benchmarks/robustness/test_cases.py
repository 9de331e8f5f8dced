import numpy as np
import pytest

from benchmarks.robustness.cases import CASES, chosen_cases
from benchmarks.robustness.degradations import CLEAN, DEGRADATIONS
from bmenet.imaging.brain import foreground_mask
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import BMENetError
from bmenet.runtime.seeding import generator


def test_a_kind_of_scan_stands_for_all_its_cases_and_an_unknown_one_is_named():
    assert [case.name for case in chosen_cases(["@head"])] == ["combined@head", "111@head", "clean@head"]
    assert [case.name for case in chosen_cases(["ghosts", "@gamma_0.6"])][:2] == ["ghosts", "combined@gamma_0.6"]
    assert len(chosen_cases(None)) == len(CASES) == len({case.title for case in CASES.values()})
    with pytest.raises(BMENetError, match=r"--cases: expected names of clean.*; got sunshine"):
        chosen_cases(["sunshine"])


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("name", DEGRADATIONS)
def test_a_degradation_is_the_same_for_the_same_seed_and_leaves_the_clean_volume_alone(phantom, name):
    small = Volume(phantom.data, np.eye(4))  # voxels of 1 mm, of which a thick slice holds several
    clean, brain_mask = phantom.data.copy(), foreground_mask(phantom.data)
    first, again, other = (
        DEGRADATIONS[name].degrade(small, brain_mask, generator(seed, "sub-01", name)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(phantom.data, clean)
    np.testing.assert_array_equal(first, again)
    assert first.shape == clean.shape
    assert np.isfinite(first).all()
    assert first.min() >= 0
    assert (name == CLEAN) == np.array_equal(first, clean)
    assert (name == CLEAN) == np.array_equal(first, other)
