import nibabel as nib
import numpy as np
import pytest

from bmenet.data.sources.sample import SampleSource, draw
from bmenet.imaging.template import load_template
from bmenet.runtime.seeding import generator


@pytest.fixture(scope="module")
def source():
    return SampleSource(count=8, deformation_mm=6.0, spacing_mm=4, seed=2026)


@pytest.fixture(scope="module")
def scans(source):
    return [source.read(subject, print) for subject in source.subjects()]


def canonical(scan):
    """The scan's voxels in RAS order, unit intensity."""
    data = nib.as_closest_canonical(nib.Nifti1Image(scan.volume.data, scan.volume.affine)).get_fdata()
    return data / data.max()


def test_sample_depends_on_the_seed_alone(source, scans):
    first = source.subjects()[0]
    fewer = SampleSource(1, 6.0, 4, 2026).read(first, print)
    assert np.array_equal(fewer.volume.data, scans[0].volume.data)
    other = SampleSource(1, 6.0, 4, 2027)
    assert other.fingerprint(first) != source.fingerprint(first)
    assert not np.array_equal(other.read(first, print).volume.data, fewer.volume.data)


def test_sample_lies_in_a_scanner_space_of_its_own(scans):
    axes = {"".join(nib.aff2axcodes(scan.volume.affine)) for scan in scans}
    assert len(axes) > 2
    for scan in scans:
        spacing = np.array(scan.volume.grid.spacing_mm)
        assert ((spacing > 3.55) & (spacing < 4.25)).all()
        assert not np.allclose(spacing, 4)
        assert scan.geometry["sform_code"] == 1


def test_sample_holds_the_whole_head_on_an_empty_background(scans):
    template = load_template(SampleSource(1, 0, 4, 0)._template.grid)
    volume = np.count_nonzero(template.data > 0.2) * 4**3
    for scan in scans:
        data = canonical(scan)
        faces = [data[0], data[-1], data[:, 0], data[:, -1], data[..., 0], data[..., -1]]
        assert max(face.max() for face in faces) == 0
        brain = np.count_nonzero(data > 0.2) * np.prod(scan.volume.grid.spacing_mm)
        assert 0.75 * volume < brain < 1.25 * volume


def test_sample_subjects_differ_in_shape_size_and_contrast(scans):
    brains = [canonical(scan) for scan in scans]
    assert np.std([np.median(brain[brain > 0.2]) for brain in brains]) > 0.02
    assert len({tuple(np.ptp(np.argwhere(brain > 0.2), axis=0)) for brain in brains}) == len(brains)


def test_sample_is_the_same_head_at_every_spacing():
    def centre_of_mass(spacing_mm):
        source = SampleSource(1, 6.0, spacing_mm, 5)
        volume = source.read(source.subjects()[0], print).volume
        index = np.argwhere(volume.data > 0)
        mean = np.average(index, axis=0, weights=volume.data[tuple(index.T)])
        return nib.affines.apply_affine(volume.affine, mean)

    assert np.allclose(centre_of_mass(4), centre_of_mass(2), atol=0.5)


def test_sample_without_deformation_is_the_template_moved_and_scaled():
    source = SampleSource(1, 0.0, 4, 3)
    drawn = draw(generator(3, "sub-001", "sample"))
    brain = canonical(source.read(source.subjects()[0], print)) > 0.2
    template = source._template.data > 0.2
    expected = np.count_nonzero(template) * np.prod(drawn.scale) / np.prod(drawn.voxel)
    assert np.count_nonzero(brain) == pytest.approx(expected, rel=0.05)


def test_sample_deformation_does_not_fold_space():
    from bmenet.data.sources import sample

    axes = [np.arange(-90.0, 90, 6)] * 3
    for number in range(3):
        drawn = draw(generator(2026, number))
        shift = sum(
            share * 6.0 / np.sqrt(3) * sample._smooth(noise, axes, length)
            for noise, (length, share) in zip(drawn.bends, sample._BENDS, strict=True)
        )
        assert 4 < np.sqrt((shift**2).sum(axis=0).mean()) < 8
        jacobian = np.stack(np.gradient(shift, 6.0, axis=(1, 2, 3)), axis=-1)
        jacobian = np.moveaxis(jacobian, 0, -2) + np.eye(3)
        assert np.linalg.det(jacobian).min() > 0.3
