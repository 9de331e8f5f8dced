from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from bmenet.data.download import UnreachableError
from bmenet.data.fetch import fetch_subjects
from bmenet.data.layout import Layout
from bmenet.data.participants import Covariates, read_table
from bmenet.data.sources.base import Source, Subject
from bmenet.imaging.scan import load_scan
from bmenet.runtime.errors import SourceError, VolumeError
from bmenet.runtime.files import sha256

SUBJECTS = [Subject("b", "first", Covariates(61.0, "F")), Subject("a", "second"), Subject("c", "third")]


class CountingSource(Source):
    """Scans from a folder; counts its reads, and fails where told."""

    def __init__(self, folder):
        self.folder, self.reads, self.failures, self.version = folder, [], {}, "1"
        for subject in SUBJECTS:
            image = nib.Nifti1Image(np.arange(24 * 20 * 20, dtype=np.int16).reshape(24, 20, 20), np.eye(4))
            image.header["descrip"], image.header["intent_name"], image.header["aux_file"] = [b"CANARY"] * 3
            image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"CANARY in the extension"))
            nib.save(image, folder / f"{subject.location}.nii")

    def subjects(self):
        return SUBJECTS

    def fingerprint(self, subject):
        return self.version * 64

    def read(self, subject, report):
        self.reads.append(subject.id)
        if subject.id in self.failures:
            raise self.failures[subject.id]
        return load_scan(self.folder / f"{subject.location}.nii")


@pytest.fixture
def source(tmp_path):
    return CountingSource(tmp_path)


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "workspace")


def test_fetch_subjects_writes_scans_without_header_text_and_a_table(source, layout):
    assert fetch_subjects(source, "counting", SUBJECTS, layout) == {}
    table = read_table(layout)
    assert [(row.id, row.file, row.age, row.sex) for row in table] == [
        ("a", "a_T1w.nii.gz", None, None),
        ("b", "b_T1w.nii.gz", 61.0, "F"),
        ("c", "c_T1w.nii.gz", None, None),
    ]
    for row in table:
        assert row.sha256 == sha256(layout.raw / row.file)
        assert row.source == "counting@" + "1" * 16
    image = nib.load(layout.raw / "a_T1w.nii.gz")
    assert np.array_equal(image.get_fdata().ravel(), np.arange(9600))
    assert image.get_data_dtype() == np.int16
    assert b"CANARY" not in image.to_bytes()


def test_fetch_subjects_goes_on_after_a_crash(source, layout):
    source.failures["c"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        fetch_subjects(source, "counting", SUBJECTS, layout)
    source.failures.clear()
    fetch_subjects(source, "counting", SUBJECTS, layout)
    assert source.reads == ["b", "a", "c", "c"]
    assert len(read_table(layout)) == 3


def test_fetch_subjects_reads_only_what_is_new_changed_or_lost(source, layout):
    def fetch(name="counting"):
        source.reads.clear()
        fetch_subjects(source, name, SUBJECTS, layout)
        return source.reads

    assert fetch() == ["b", "a", "c"]
    before = {path.name: path.stat().st_mtime_ns for path in layout.raw.glob("*.nii.gz")}
    assert fetch() == []
    assert {path.name: path.stat().st_mtime_ns for path in layout.raw.glob("*.nii.gz")} == before
    (layout.raw / "a_T1w.nii.gz").write_bytes(b"other")
    (layout.raw / "b_T1w.nii.gz").unlink()
    assert fetch() == ["b", "a"]
    source.version = "2"
    assert len(fetch()) == 3
    assert len(fetch("another")) == 3


def test_fetch_subjects_takes_over_new_covariates_without_reading_and_removes_who_is_no_longer_wanted(source, layout):
    fetch_subjects(source, "counting", SUBJECTS, layout)
    older = [replace(subject, covariates=Covariates(70.0, "M")) for subject in SUBJECTS]
    fetch_subjects(source, "counting", older, layout)
    assert {row.age for row in read_table(layout)} == {70.0}
    assert len(source.reads) == 3
    fetch_subjects(source, "counting", SUBJECTS[:1], layout)
    assert sorted(path.name for path in layout.raw.iterdir()) == ["b_T1w.nii.gz", "subjects.json"]


def test_fetch_subjects_goes_on_past_bad_scans_and_stops_at_once_without_a_network(source, layout):
    source.failures |= {"a": SourceError("no [/such] file"), "c": VolumeError("not a scan")}
    assert fetch_subjects(source, "counting", SUBJECTS, layout) == {"a": "no [/such] file", "c": "not a scan"}
    assert [row.id for row in read_table(layout)] == ["b"]
    assert not (layout.raw / "a_T1w.nii.gz").exists()
    source.failures["a"] = UnreachableError("no network")
    source.reads.clear()
    with pytest.raises(UnreachableError, match="no network"):
        fetch_subjects(source, "counting", SUBJECTS, layout)
    assert source.reads == ["a"]
    assert [row.id for row in read_table(layout)] == ["b"]
