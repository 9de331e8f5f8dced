import numpy as np
import pytest

from bmenet.evaluation.quality.definitions import Intensities, cjv, cnr, efc, snr, snr_dietrich


@pytest.fixture(scope="module")
def regions():
    """Air, CSF, grey and white matter in integers of MRIQC's scale (white matter near 1000), and the whole image."""
    generator = np.random.default_rng(2026)
    labels = generator.integers(0, 4, (24, 24, 24))
    noise = generator.standard_normal(labels.shape)
    data = np.choose(labels, [20.0, 300.0, 700.0, 1000.0]) + np.choose(labels, [8.0, 60.0, 50.0, 35.0]) * noise
    data = np.rint(data).clip(0)
    return *(Intensities.of(data[labels == label]) for label in range(4)), data


def test_definitions_agree_with_mriqc(regions):
    # mriqc 24.0.2 with statsmodels 0.15.0 on the same arrays: `summary_stats` with each region's 0/1 map, then `snr`,
    # `snr_dietrich` (mad_air=0, so that it takes the standard deviation), `cnr`, `cjv` and `efc`, the way its
    # interface StructuralQC calls them. It rounds the statistics to four decimals.
    air, csf, gm, wm, data = regions
    assert snr(csf) == pytest.approx(4.98607678, rel=1e-5)
    assert snr(gm) == pytest.approx(13.88779419, rel=1e-5)
    assert snr(wm) == pytest.approx(28.75751823, rel=1e-5)
    assert snr_dietrich(wm, air) == pytest.approx(82.43094229, rel=1e-5)
    assert cnr(wm, gm, air) == pytest.approx(4.81750742, rel=1e-5)
    assert cjv(wm, gm) == pytest.approx(0.28856040, rel=1e-5)
    assert efc(data) == pytest.approx(0.78057192, abs=1e-8)


def test_snr_dietrich_finds_signal_over_noise_of_one_channel(generator):
    sigma = 12.0
    air = np.hypot(*generator.normal(0, sigma, (2, 200_000)))
    tissue = Intensities(median=600, std=1, mad=1, count=10)
    assert snr_dietrich(tissue, Intensities.of(air)) == pytest.approx(600 / sigma, rel=0.01)


def test_efc_spans_from_one_bright_voxel_to_a_flat_image():
    point = np.zeros((8, 8, 8), np.float32)
    point[3, 4, 5] = 700
    assert efc(point) == pytest.approx(0, abs=1e-12)
    assert efc(np.full((8, 8, 8), 3.0)) == pytest.approx(1)
    assert efc(np.full((5, 9, 2), 700.0)) == pytest.approx(1)
