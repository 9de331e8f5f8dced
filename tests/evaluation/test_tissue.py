from pathlib import Path

import numpy as np
import pytest

from bmenet.data.layout import Layout
from bmenet.evaluation.segmentation import SEGMENTERS, Segmentation
from bmenet.evaluation.tissue import compare_tissues, label_dice, region_dice
from bmenet.imaging.volume import load_mask, load_unit_volume, save_mask, save_unit_volume
from bmenet.runtime.errors import GridMismatchError

REFERENCE = np.array([0, 1, 1, 1, 1, 2, 2, 3, 0, 0]).reshape(1, 2, 5)
# 3 of 4 voxels of label 1, one of them taken for 2; 3 is missed; 7 is made up.
LABELS = np.array([0, 1, 1, 1, 2, 2, 2, 0, 7, 0]).reshape(1, 2, 5)


def test_dice_is_twice_the_intersection_over_the_sum_of_the_sizes_and_a_region_forgives_neighbours():
    assert label_dice(LABELS, REFERENCE) == {1: 2 * 3 / (3 + 4), 2: 2 * 2 / (3 + 2), 3: 0.0}
    regions = {"neighbours": (1, 2), "in neither": (9,), "made up": (7,), "missed": (3,)}
    assert region_dice(LABELS, REFERENCE, regions) == {"neighbours": 1.0, "missed": 0.0}


@pytest.mark.parametrize("measure", [label_dice, lambda a, b: region_dice(a, b, {"all": (1, 2, 3)})])
def test_dice_never_broadcasts(measure):
    with pytest.raises(GridMismatchError, match=r"\(1, 2, 5\) and \(1, 1, 5\)"):
        measure(LABELS, REFERENCE[:, :1])


class Thresholds:
    """Stands in for a segmentation tool: darker than a third, darker than two thirds, brighter."""

    version, runs = "1", 0

    def __init__(self, folder: Path) -> None:
        pass

    def fingerprint(self) -> str:
        return self.version

    def segment(self, volume, brain_mask):
        Thresholds.runs += 1
        assert not volume.data[~brain_mask].any(), "the brain alone"
        labels = np.where(brain_mask, 1 + np.digitize(volume.data, [1 / 3, 2 / 3]), 0)
        return Segmentation(labels, {"dark": (1,), "grey matter": (2,), "bright": (3,), "nowhere": (9,)})


@pytest.fixture
def layout(tmp_path, phantom, monkeypatch) -> Layout:
    """A clean volume with three brightnesses; all of one turned dark in the degraded, half of it in the coarse."""
    monkeypatch.setitem(SEGMENTERS, "atropos", Thresholds)
    monkeypatch.setattr(Thresholds, "runs", 0)
    layout, inside = Layout(tmp_path), np.argwhere(phantom.data > 0.05)
    third = len(inside) // 3
    data = np.zeros_like(phantom.data)
    for number, brightness in enumerate((0.2, 0.5, 0.9)):
        data[tuple(inside[number * third : (number + 1) * third].T)] = brightness
    paths = layout.clean("sub-01"), layout.restored("sub-01", "111", "coarse"), layout.degraded("sub-01", "111")
    for path, darkened in zip(paths, (0, third // 2, third), strict=True):
        data[tuple(inside[third : third + darkened].T)] = 0.2
        save_unit_volume(path, phantom.with_data(data))
    save_mask(layout.brain_mask("sub-01"), phantom.with_data(data > 0))
    return layout


def compare(layout):
    cases = [("000", "degraded"), ("111", "degraded"), ("111", "coarse")]
    return compare_tissues("sub-01", cases, "atropos", layout)


def test_a_tissue_that_is_taken_for_another_costs_overlap_and_volume(layout):
    found = compare(layout)
    regions = "dark", "grey_matter", "bright"
    perfect = {f"dice.{region}": 1.0 for region in (*regions, "mean")}
    perfect |= {f"volume_{kind}.{region}": 0.0 for kind in ("change", "error") for region in regions}
    assert found["000", "degraded"] == perfect, "the clean volume agrees with itself"
    degraded, coarse = found["111", "degraded"], found["111", "coarse"]
    assert degraded["dice.grey_matter"] == 0
    assert degraded["volume_change.grey_matter"] == -100
    assert degraded["volume_change.dark"] == pytest.approx(100, abs=1)
    assert coarse["dice.grey_matter"] == pytest.approx(2 / 3, abs=0.01)
    assert coarse["volume_change.grey_matter"] == -coarse["volume_error.grey_matter"] == pytest.approx(-50, abs=1)
    assert degraded["dice.bright"] == coarse["dice.bright"] == 1
    assert coarse["dice.mean"] == pytest.approx((0.8 + 2 / 3 + 1) / 3, abs=0.01)


def test_of_heads_the_brains_are_compared_and_another_mask_makes_another_comparison(layout, phantom):
    first = compare(layout)
    for path in (layout.clean("sub-01"), layout.restored("sub-01", "111", "coarse"), layout.degraded("sub-01", "111")):
        brain = load_unit_volume(path).data
        save_unit_volume(path, phantom.with_data(np.where(brain > 0, brain, 0.6)))
    assert compare(layout) == first
    brain_mask = load_mask(layout.brain_mask("sub-01"))
    brain_mask[:20] = False
    save_mask(layout.brain_mask("sub-01"), phantom.with_data(brain_mask))
    assert compare(layout) != first


def test_what_was_compared_is_segmented_again_only_for_another_volume_or_tool(layout, phantom, monkeypatch):
    first = compare(layout)
    assert Thresholds.runs == 3, "the clean volume once"
    assert compare(layout) == first
    assert Thresholds.runs == 3
    monkeypatch.setattr(Thresholds, "version", "2")
    compare(layout)
    assert Thresholds.runs == 6
    save_unit_volume(layout.restored("sub-01", "111", "coarse"), phantom)
    compare(layout)
    assert Thresholds.runs == 8
