from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from bmenet.data.layout import Layout
from bmenet.evaluation.page import evaluation_page
from bmenet.imaging.volume import save_unit_volume


@pytest.fixture
def layout(tmp_path, phantom) -> Layout:
    """One subject whose degraded input is 0.1 too bright in the brain, and what two methods made of it."""
    layout = Layout(tmp_path)
    save_unit_volume(layout.clean("sub-02"), phantom)
    brighter = {layout.degraded("sub-02", "111"): 0.1}
    brighter |= {layout.restored("sub-02", "111", "n4"): 0.05, layout.restored("sub-02", "111", "coarse"): 0.01}
    for path, change in brighter.items():
        save_unit_volume(path, phantom.with_data(np.where(phantom.data > 0, phantom.data + change, 0)))
    return layout


def test_evaluation_page_shows_the_median_subject_before_after_clean_and_every_error(results, layout, phantom):
    page = evaluation_page(results, "111", [], {"Plot": Figure()}, ({"seed": "1"}, {"commit": "abc"}), layout)
    assert "sub-02" in page.subtitle
    names = [layer.name for layer in page.layers]
    assert names[:4] == ["degraded input", "BMENet, coarse", "clean", "N4"]
    errors = {layer.name: layer for layer in page.layers if layer.kind == "difference"}
    assert list(errors) == ["degraded input - clean", "BMENet, coarse - clean", "N4 - clean"]
    clean = page.layers[2].volume
    inside = clean.data > 0
    assert errors["degraded input - clean"].volume.data[inside] == pytest.approx(0.1, abs=1e-3)
    assert errors["BMENet, coarse - clean"].volume.data[inside] == pytest.approx(0.01, abs=1e-3)
    # Cut to the brain, and each voxel where it was.
    assert np.count_nonzero(inside) == np.count_nonzero(phantom.data > 0)
    assert clean.data.size < phantom.data.size
    first = np.argwhere(phantom.data > 0)[0], np.argwhere(inside)[0]
    places = [v.affine @ [*index, 1] for v, index in zip((phantom, clean), first, strict=True)]
    np.testing.assert_allclose(*places)
    assert page.pictures[0].png.startswith(b"\x89PNG")
    assert (page.settings, page.lineage) == ({"seed": "1"}, {"commit": "abc"})


def test_evaluation_page_has_no_layers_of_ablations(results, layout):
    ablations = [replace(result, method="fine_decode") for result in results if result.method == "coarse"]
    page = evaluation_page([*results, *ablations], "111", [], {}, ({}, {}), layout)
    assert not any("decoded" in layer.name for layer in page.layers)
