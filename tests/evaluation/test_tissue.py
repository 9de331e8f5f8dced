from pathlib import Path

import numpy as np
import pytest

from bmenet.data.layout import Layout
from bmenet.evaluation.segmentation import SEGMENTERS, Segmentation
from bmenet.evaluation.tissue import compare_tissues
from bmenet.imaging.volume import save_unit_volume

CASES = [("000", "degraded"), ("111", "degraded"), ("111", "coarse")]


class Thresholds:
    """Stands in for a segmentation tool: darker than a third, darker than two thirds, brighter."""

    version = "1"
    runs = 0

    def __init__(self, folder: Path) -> None:
        self.require = lambda: None

    def fingerprint(self) -> str:
        return self.version

    def segment(self, volume, brain_mask):
        Thresholds.runs += 1
        labels = np.where(brain_mask, 1 + np.digitize(volume.data, [1 / 3, 2 / 3]), 0)
        regions = {"dark": (1,), "grey matter": (2,), "bright": (3,), "nowhere": (9,)}
        return Segmentation(labels, regions)


@pytest.fixture
def layout(tmp_path, phantom, monkeypatch) -> Layout:
    """A clean volume with three brightnesses; all of it turned dark in the degraded one, half of it in the coarse."""
    monkeypatch.setitem(SEGMENTERS, "atropos", Thresholds)
    monkeypatch.setattr(Thresholds, "runs", 0)
    layout = Layout(tmp_path)
    inside = np.argwhere(phantom.data > 0.05)
    data = np.zeros_like(phantom.data)
    third = len(inside) // 3
    for number, brightness in enumerate((0.2, 0.5, 0.9)):
        data[tuple(inside[number * third : (number + 1) * third].T)] = brightness
    coarse, degraded = data.copy(), data.copy()
    coarse[tuple(inside[third : third + third // 2].T)] = 0.2
    degraded[tuple(inside[third : 2 * third].T)] = 0.2
    save_unit_volume(layout.clean("sub-01"), phantom.with_data(data))
    save_unit_volume(layout.degraded("sub-01", "111"), phantom.with_data(degraded))
    save_unit_volume(layout.restored("sub-01", "111", "coarse"), phantom.with_data(coarse))
    return layout


def compare(layout):
    return compare_tissues("sub-01", CASES, "atropos", layout)


def test_the_clean_volume_agrees_with_itself(layout):
    regions = "dark", "grey_matter", "bright"
    expected = {f"dice.{region}": 1.0 for region in (*regions, "mean")}
    expected |= {f"volume_{kind}.{region}": 0.0 for kind in ("change", "error") for region in regions}
    assert compare(layout)["000", "degraded"] == expected


def test_a_tissue_that_is_taken_for_another_costs_overlap_and_volume(layout):
    found = compare(layout)
    degraded, coarse = found["111", "degraded"], found["111", "coarse"]
    assert degraded["dice.grey_matter"] == 0
    assert degraded["volume_change.grey_matter"] == -100
    assert degraded["volume_change.dark"] == pytest.approx(100, abs=1)
    assert coarse["dice.grey_matter"] == pytest.approx(2 / 3, abs=0.01)
    assert coarse["volume_change.grey_matter"] == -coarse["volume_error.grey_matter"] == pytest.approx(-50, abs=1)
    assert degraded["dice.bright"] == coarse["dice.bright"] == 1
    assert coarse["dice.mean"] == pytest.approx((0.8 + 2 / 3 + 1) / 3, abs=0.01)


def test_what_was_compared_is_segmented_again_only_for_another_volume_or_tool(layout, phantom, monkeypatch):
    first = compare(layout)
    runs = Thresholds.runs
    assert compare(layout) == first
    assert Thresholds.runs == runs
    monkeypatch.setattr(Thresholds, "version", "2")
    compare(layout)
    assert Thresholds.runs == 2 * runs
    save_unit_volume(layout.restored("sub-01", "111", "coarse"), phantom)
    compare(layout)
    assert Thresholds.runs == 2 * runs + 2
