import base64
import gzip
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from bmenet.evaluation.pages import layers as module
from bmenet.evaluation.pages.layers import Layer, encode_layers
from bmenet.imaging.grid import Grid
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import GridMismatchError, VolumeError


def unpack(text: str) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(text)))


def value_at(image: nib.Nifti1Image, place_mm: np.ndarray) -> float:
    index = np.rint(nib.affines.apply_affine(np.linalg.inv(image.affine), place_mm)).astype(int)
    return float(image.get_fdata()[tuple(index)])


def test_a_volume_is_stored_in_steps_of_its_range_and_stays_in_its_place(page):
    volumes, view = encode_layers(page.layers)
    for layer, text in zip(page.layers, volumes, strict=True):
        image = unpack(text)
        assert image.get_data_dtype() == np.uint8
        step = view["scales"][layer.kind]["step"]
        for index in ((20, 28, 20), (19, 30, 22), (8, 28, 20), (17, 29, 20)):
            place_mm = nib.affines.apply_affine(layer.volume.affine, index)
            assert value_at(image, place_mm) == pytest.approx(layer.volume.data[index], abs=0.51 * step), layer.name


def test_zero_is_exact_also_between_negative_and_positive(phantom):
    difference = np.where(phantom.data > 0.7, np.float32(0.3), np.float32(0))
    difference[phantom.data == 0.5] = -0.7
    image = unpack(encode_layers([Layer("d", phantom.with_data(difference), "difference")])[0][0])
    assert set(np.unique(np.sign(image.get_fdata()))) == {-1, 0, 1}
    np.testing.assert_allclose(np.unique(image.get_fdata()), [-0.7, 0, 0.3], atol=0.003)


def test_layers_of_a_kind_share_one_scale_and_one_field_of_view_without_empty_space(page):
    volumes, view = encode_layers(page.layers)
    images = [unpack(text) for text in volumes]
    assert images[0].dataobj.slope == images[1].dataobj.slope == pytest.approx(view["scales"]["image"]["step"])
    assert view["scales"]["image"]["stored"] == pytest.approx(0.85 * 700)
    assert len({image.shape for image in images}) == 1
    assert np.prod(images[0].shape) < 0.9 * page.layers[0].volume.data.size


def test_a_few_outliers_do_not_cost_the_rest_its_grey_levels(phantom):
    data = phantom.data.copy()
    data[20, 28, 20] = 1000
    _, view = encode_layers([Layer("i", phantom.with_data(data), "image")])
    assert view["scales"]["image"]["stored"] == pytest.approx(0.85)


def test_a_page_too_heavy_to_send_gets_larger_voxels_in_the_same_place(page, monkeypatch):
    whole, _ = encode_layers(page.layers)
    monkeypatch.setattr(module, "_MOST_VOXELS", len(page.layers) * 8000)
    volumes, view = encode_layers(page.layers)
    fine, coarse = unpack(whole[0]), unpack(volumes[0])
    assert np.prod(coarse.shape) <= 8000 < np.prod(fine.shape)
    assert view["coarser_mm"] == pytest.approx(max(coarse.header.get_zooms()), abs=0.01)
    centres = [
        nib.affines.apply_affine(image.affine, np.argwhere(image.get_fdata() > 100)).mean(axis=0)
        for image in (fine, coarse)
    ]
    np.testing.assert_allclose(*centres, atol=1)
    assert encode_layers(page.layers[:1])[1]["coarser_mm"] is not None, "more than 8000 voxels in one layer, too"


def test_only_edges_shorter_than_the_new_ones_grow():
    grid = module._coarser(Grid((100, 100, 20), np.diag([1.0, 1, 5, 1])), 60_000)
    assert grid.spacing_mm[2] == 5
    assert grid.spacing_mm[0] == pytest.approx(100 / np.sqrt(3000), rel=0.05)
    np.testing.assert_allclose(np.array(grid.shape) * grid.spacing_mm, (100, 100, 100), atol=2)


def test_nothing_to_see_is_no_reason_to_fail(phantom):
    volumes, view = encode_layers([Layer("d", phantom.with_data(0 * phantom.data), "difference")])
    assert unpack(volumes[0]).shape == phantom.data.shape
    assert not unpack(volumes[0]).get_fdata().any()
    assert view["scales"]["difference"]["shown"] == 1


def test_the_crosshair_starts_where_something_differs(phantom):
    difference = np.zeros_like(phantom.data)
    difference[30:33, 10:13, 25:28] = 1
    layers = [Layer("i", phantom, "image"), Layer("d", phantom.with_data(difference), "difference")]
    expected = nib.affines.apply_affine(phantom.affine, (31, 11, 26))
    np.testing.assert_allclose(encode_layers(layers)[1]["centre_mm"], expected, atol=1e-4)


def test_layers_on_different_grids_and_values_that_are_not_finite_are_refused(page):
    moved = Volume(page.layers[0].volume.data, page.layers[0].volume.affine @ np.diag([-1, 1, 1, 1]))
    with pytest.raises(GridMismatchError, match="layer 'after': expected the grid of 'before'"):
        encode_layers([page.layers[0], replace(page.layers[1], volume=moved)])
    data = page.layers[0].volume.data.copy()
    data[0, 0, 0] = np.nan
    with pytest.raises(VolumeError, match="layer 'before': expected finite values"):
        encode_layers([replace(page.layers[0], volume=page.layers[0].volume.with_data(data))])
