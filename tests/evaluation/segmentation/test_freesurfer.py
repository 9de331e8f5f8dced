"""The table of FreeSurfer's labels: nine regions, and nothing in two of them."""

import pytest

from bmenet.evaluation.segmentation.freesurfer import REGIONS, freesurfer_names, freesurfer_regions

# Left and right of aseg that FastSurfer's networks find.
PAIRS = [(2, 41), (3, 42), (4, 43), (5, 44), (7, 46), (8, 47), (10, 49), (11, 50), (12, 51), (13, 52), (17, 53)]
PAIRS += [(18, 54), (26, 58), (28, 60), (31, 63)]
# Of the Desikan-Killiany atlas, the DKT atlas has these areas (Klein, Tourville 2012, doi:10.3389/fnins.2012.00171).
DKT_AREAS = [2, 3, *range(5, 32), 34, 35]


def _region(label: int) -> str:
    (region,) = (region for region, labels in freesurfer_regions().items() if label in labels)
    return region


def test_every_label_is_in_exactly_one_of_the_nine_published_regions():
    assert tuple(freesurfer_regions()) == REGIONS
    assert len(REGIONS) == 9
    assert sorted(sum(freesurfer_regions().values(), ())) == sorted(freesurfer_names())


def test_left_and_right_are_in_one_region_and_every_area_of_the_dkt_atlas_is_cortex():
    names = freesurfer_names()
    for left, right in [*PAIRS, *((1000 + area, 2000 + area) for area in DKT_AREAS)]:
        assert _region(left) == _region(right)
        assert names[left].replace("Left", "Right").replace("lh", "rh") == names[right]
    assert {_region(1000 + area) for area in DKT_AREAS} == {"cerebral cortex"}


@pytest.mark.parametrize(
    ("label", "name", "region"),
    [
        (2, "Left-Cerebral-White-Matter", "cerebral white matter"),
        (14, "3rd-Ventricle", "ventricles"),
        (47, "Right-Cerebellum-Cortex", "cerebellum"),
        (12, "Left-Putamen", "basal ganglia"),
        (53, "Right-Hippocampus", "limbic system"),
        (16, "Brain-Stem", "brain stem"),
        (253, "CC_Central", "corpus callosum"),
        (28, "Left-VentralDC", "others"),
        (1035, "ctx-lh-insula", "cerebral cortex"),
    ],
)
def test_labels_are_those_of_the_colour_table(label, name, region):
    assert (freesurfer_names()[label], _region(label)) == (name, region)
