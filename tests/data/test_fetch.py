from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from bmenet.data.download import UnreachableError
from bmenet.data.fetch import fetch_subjects
from bmenet.data.layout import Layout
from bmenet.data.participants import Covariates, read_table
from bmenet.data.sources.base import DataSet, Source, Subject
from bmenet.imaging.scan import load_scan
from bmenet.runtime.errors import SourceError, VolumeError
from bmenet.runtime.files import sha256, write_json

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


def dataset(source, kind="counting", subjects=SUBJECTS, name="ds"):
    return DataSet(name, kind, source, subjects)


@pytest.fixture
def source(tmp_path):
    return CountingSource(tmp_path)


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "workspace")


def test_fetch_subjects_writes_scans_without_header_text_and_a_table(source, layout):
    assert fetch_subjects([dataset(source)], layout) == {}
    table = read_table(layout)
    assert [(row.id, row.file, row.age, row.sex) for row in table] == [
        ("ds_a", "ds_a_T1w.nii.gz", None, None),
        ("ds_b", "ds_b_T1w.nii.gz", 61.0, "F"),
        ("ds_c", "ds_c_T1w.nii.gz", None, None),
    ]
    for row in table:
        assert row.sha256 == sha256(layout.raw / row.file)
        assert row.source == "counting@" + "1" * 16
        assert row.dataset == "ds"
    image = nib.load(layout.raw / "ds_a_T1w.nii.gz")
    assert np.array_equal(image.get_fdata().ravel(), np.arange(9600))
    assert image.get_data_dtype() == np.int16
    assert b"CANARY" not in image.to_bytes()


def test_fetch_subjects_goes_on_after_a_crash(source, layout):
    source.failures["c"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        fetch_subjects([dataset(source)], layout)
    source.failures.clear()
    fetch_subjects([dataset(source)], layout)
    assert source.reads == ["b", "a", "c", "c"]
    assert len(read_table(layout)) == 3


def test_fetch_subjects_reads_only_what_is_new_changed_or_lost(source, layout):
    def fetch(kind="counting"):
        source.reads.clear()
        fetch_subjects([dataset(source, kind)], layout)
        return source.reads

    assert fetch() == ["b", "a", "c"]
    before = {path.name: path.stat().st_mtime_ns for path in layout.raw.glob("*.nii.gz")}
    assert fetch() == []
    assert {path.name: path.stat().st_mtime_ns for path in layout.raw.glob("*.nii.gz")} == before
    (layout.raw / "ds_a_T1w.nii.gz").write_bytes(b"other")
    (layout.raw / "ds_b_T1w.nii.gz").unlink()
    assert fetch() == ["b", "a"]
    source.version = "2"
    assert len(fetch()) == 3
    assert len(fetch("another")) == 3


def test_fetch_subjects_takes_over_new_covariates_without_reading_and_removes_who_is_no_longer_wanted(source, layout):
    fetch_subjects([dataset(source)], layout)
    older = [replace(subject, covariates=Covariates(70.0, "M")) for subject in SUBJECTS]
    fetch_subjects([dataset(source, subjects=older)], layout)
    assert {row.age for row in read_table(layout)} == {70.0}
    assert len(source.reads) == 3
    fetch_subjects([dataset(source, subjects=SUBJECTS[:1])], layout)
    assert sorted(path.name for path in layout.raw.iterdir()) == ["ds_b_T1w.nii.gz", "subjects.json"]


def test_fetch_subjects_goes_on_past_bad_scans_and_stops_at_once_without_a_network(source, layout):
    source.failures |= {"a": SourceError("no [/such] file"), "c": VolumeError("not a scan")}
    assert fetch_subjects([dataset(source)], layout) == {"ds_a": "no [/such] file", "ds_c": "not a scan"}
    assert [row.id for row in read_table(layout)] == ["ds_b"]
    assert not (layout.raw / "ds_a_T1w.nii.gz").exists()
    source.failures["a"] = UnreachableError("no network")
    source.reads.clear()
    with pytest.raises(UnreachableError, match="no network"):
        fetch_subjects([dataset(source)], layout)
    assert source.reads == ["a"]
    assert [row.id for row in read_table(layout)] == ["ds_b"]


def test_fetch_subjects_keeps_people_of_several_data_sets_apart(source, layout, tmp_path):
    (tmp_path / "other").mkdir()
    other = CountingSource(tmp_path / "other")
    both = [dataset(source, name="one"), dataset(other, name="two", subjects=SUBJECTS[1:])]
    assert fetch_subjects(both, layout) == {}
    assert [(row.id, row.dataset) for row in read_table(layout)] == [
        ("one_a", "one"),
        ("one_b", "one"),
        ("one_c", "one"),
        ("two_a", "two"),
        ("two_c", "two"),
    ]
    fetch_subjects(both[1:], layout)
    assert sorted(path.name for path in layout.raw.iterdir()) == [
        *("subjects.json", "two_a_T1w.nii.gz", "two_c_T1w.nii.gz")
    ]


def test_fetch_subjects_goes_on_with_other_data_sets_where_one_cannot_be_reached(source, layout, tmp_path):
    (tmp_path / "other").mkdir()
    other = CountingSource(tmp_path / "other")
    both = [dataset(source, name="one"), dataset(other, name="two")]
    fetch_subjects(both[:1], layout)
    source.version, source.failures["a"] = "2", UnreachableError("no network")
    source.reads.clear()
    with pytest.raises(UnreachableError, match="no network"):
        fetch_subjects(both, layout)
    assert source.reads == ["b", "a"]
    rows = {row.id: row.source for row in read_table(layout)}
    assert sorted(rows) == ["one_a", "one_b", "one_c", "two_a", "two_b", "two_c"]
    assert rows["one_b"].endswith("2" * 16)
    assert rows["one_a"].endswith("1" * 16), "what was there before stays"


def test_fetch_subjects_removes_files_of_a_table_without_data_sets(source, layout):
    layout.raw.mkdir(parents=True)
    (layout.raw / "a_T1w.nii.gz").touch()
    row = {"id": "a", "file": "a_T1w.nii.gz", "age": None, "sex": None, "sha256": "0", "source": "counting@0"}
    write_json(layout.subjects_table, [row])
    fetch_subjects([dataset(source)], layout)
    assert {row.id for row in read_table(layout)} == {"ds_a", "ds_b", "ds_c"}
    assert not (layout.raw / "a_T1w.nii.gz").exists()
